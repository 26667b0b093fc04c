"""The whole stack with a link in front of each dependency of each stage, restarted as honcho would.

Not here: what is done to it (`saboteur`).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from local.stack import Stack, local_environment
from tests.chaos.link import Link
from tests.chaos.plan import OF_STAGE_AND_AWS, STAGES, Means
from tests.chaos.wrong_clock import WrongClock, can_compile
from tests.fixtures_stack import SOON

COUNTS = {"executor": 2}
_SERVERS = {"redis": b"redis-server", "aws": b"aws_child.py"}


class Fleet:
    """`local` and every stage, on links; `close` ends it all."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], *, seed: int = 0, disk_mb: int = 0
    ) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.state = folder / "state"
        self._mounts = _mount_disks(self.state, disk_mb) if disk_mb else []
        environment = {
            **local_environment(self.state),
            **SOON,
            "SANDBOX": "bubblewrap",
            "SANDBOXES_MAX": "4",
            "DISK_RESERVE_MB": "0",
            "RECEIVERS": "2",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            **settings,
        }
        self.local = Stack(environment, log_path=self.logs / "local.log")
        self.settings = self.local.settings
        self.local.start("local")
        self.local.wait_local()
        self.links: dict[str, Link] = {}
        self.clocks: dict[str, WrongClock] = {}
        self.stacks = {stage: self._make_stack(stage, environment, seed) for stage in STAGES}
        for stage, stack in self.stacks.items():
            stack.start(*[stage] * COUNTS.get(stage, 1))
        self.killed: set[int] = set()
        self.ended_by_itself: list[str] = []

    @property
    def means(self) -> Means:
        """What can be done to it on this machine."""
        return Means(disk=bool(self._mounts), clock=can_compile())

    @property
    def disks(self) -> dict[str, Path]:
        """Small file systems, by what lies on them."""
        return {"log": self.state / "redis", "state": self.state}

    def _make_stack(self, stage: str, environment: Mapping[str, str], seed: int) -> Stack:
        own = dict(environment)
        link = self.links[f"{stage}-redis"] = Link(self.settings.local_redis_port, seed=seed)
        own["REDIS_URL"] = f"redis://127.0.0.1:{link.port}/0"
        if stage in OF_STAGE_AND_AWS:
            link = Link(self.settings.local_aws_port, http=True, seed=seed)
            self.links[f"{stage}-aws"] = link
            own["LOCAL_AWS_PORT"] = str(link.port)
        if self.means.clock:
            clock = self.clocks[stage] = WrongClock(self.folder, stage)
            own |= clock.environment
        return Stack(own, log_path=self.logs / f"{stage}.log")

    # -- what can be done to it --------------------------------------------------------------------

    def living(self, stage: str) -> list["subprocess.Popen[bytes]"]:
        """The processes of a stage."""
        return [process for _, process in self.stacks[stage].processes if process.poll() is None]

    def server_id(self, name: str) -> int | None:
        """The process of `redis` or of the stand-in for `aws`."""
        (local,) = [process for _, process in self.local.processes]
        return next(
            (
                child
                for child in _children_of(local.pid)
                if _SERVERS[name] in _command_of(child).replace(b"\0", b" ")
            ),
            None,
        )

    def look_after(self) -> None:
        """Start again what ended without being killed, and remember it: it should not have."""
        for stage, stack in self.stacks.items():
            for place, (_, process) in enumerate(stack.processes):
                if process.poll() is None:
                    continue
                if process.pid not in self.killed:
                    self.ended_by_itself.append(
                        f"{stage} ended with {process.returncode}: {self._last_words(stage)}"
                    )
                    stack.start(stage)
                del stack.processes[place]
                break

    def _last_words(self, stage: str) -> str:
        """The end of what its processes said: of a traceback, the line that names the error."""
        with (self.logs / f"{stage}.log").open("rb") as log:
            log.seek(max(os.fstat(log.fileno()).st_size - 2_000, 0))
            return " | ".join(log.read().decode(errors="replace").splitlines()[-4:])

    def close(self) -> None:
        """End every process, then what they stood on."""
        for stack in (*self.stacks.values(), self.local):
            stack.stop()
        for link in self.links.values():
            link.close()
        for mount in reversed(self._mounts):
            subprocess.run(["umount", "--lazy", mount], check=False)


def can_mount() -> bool:
    """Whether a small disk can be made."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


def _mount_disks(state: Path, size_mb: int) -> list[Path]:
    mounts: list[Path] = []
    for folder, megabytes in ((state, 256), (state / "redis", size_mb)):
        folder.mkdir(parents=True)
        options = f"size={megabytes}m"
        command = ["mount", "-t", "tmpfs", "-o", options, "hearth-chaos", os.fspath(folder)]
        if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
            break
        mounts.append(folder)
    return mounts


def _children_of(process_id: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


def _command_of(process_id: int) -> bytes:
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def wait_until_gone(process_id: int, seconds: float = 2) -> None:
    """Until a process that is not our child has died."""
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{process_id}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
