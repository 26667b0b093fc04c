"""Sandboxes made with bubblewrap: the embedded default where no Docker Engine answers.

Not here: the command line (`bubblewrap_command`), the cgroup (`own_cgroup`).

What it does not isolate, compared with Docker: there is no seccomp filter, and functions have no
network at all, not even egress.
"""

import logging
import os
import select
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from executor.bubblewrap_command import FILES_MADE_UP, Places, build_command
from executor.doorway import Connections, Doorway
from executor.own_cgroup import (
    create_cgroup,
    files_to_join,
    kill_cgroup,
    plan_cgroup,
    remove_cgroup,
)
from executor.process_end import describe_status, is_killed
from executor.readings import Meter
from executor.sandbox import Exit, SandboxError, SandboxSpec
from executor.sandbox_folder import SandboxFolder, State
from shared.events import Network, Runtime
from shared.logging import log_event

LOG = logging.getLogger(__name__)
RUNTIMES = Path(__file__).parent.parent / "runtimes"
_START_SECONDS = 10.0
_END_SECONDS = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = {Runtime.PYTHON: ("python3", "-I", "-S", "/var/runtime/bootstrap.py")}


class BubblewrapSandbox:
    """See `sandbox.Sandbox`."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: SandboxFolder,
        process: subprocess.Popen[bytes],
        connections: Connections,
    ) -> None:
        self.id = folder.id
        self.spec = spec
        self.control: socket.socket = connections.control
        self.logs: socket.socket = connections.logs
        self.meter = Meter(connections.pid)
        self._folder = folder
        self._process = process
        self._bootstrap = _open_process(connections.pid)

    def describe_exit(self) -> Exit:
        """See `sandbox.Sandbox`."""
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return Exit(out_of_memory=False, reason="it hung up but did not end")
        out_of_memory = is_killed(status) and bool(self.meter.oom_kills())
        return Exit(out_of_memory, describe_status(status))

    def destroy(self) -> None:
        """See `sandbox.Sandbox`."""
        self.meter.thaw()
        _end_process(self._process, self._bootstrap)
        self._bootstrap = -1
        self.control.close()
        self.logs.close()
        self.meter.close()
        _remove_leftovers(self._folder)


class BubblewrapFactory:
    """See `sandbox.SandboxFactory`."""

    kind = "bubblewrap"

    def __init__(self, state_dir: Path, worker_id: str = "") -> None:
        """Raises SandboxError where bubblewrap cannot work at all."""
        self._bwrap = find_bubblewrap()
        self._worker_id = worker_id
        self._state = State(state_dir)
        self._etc = _write_etc(state_dir.resolve() / "bubblewrap-etc")
        self._has_warned = False
        # --die-with-parent means the parent's thread; this one lives as long as the executor.
        self._launcher = ThreadPoolExecutor(1, "sandbox-launcher")

    def start(self, spec: SandboxSpec) -> BubblewrapSandbox:
        """See `sandbox.SandboxFactory`."""
        if spec.runtime not in _PROGRAMS:
            message = (
                f"runtime {spec.runtime} cannot run in bubblewrap. "
                "Install Docker and set SANDBOX=docker"
            )
            raise SandboxError(message)
        folder = self._state.create_folder(self.kind, self._worker_id)
        process: subprocess.Popen[bytes] | None = None
        try:
            doorway = Doorway(folder.run)
            try:
                process = self._launch(spec, folder)
                connections = doorway.accept_both(_START_SECONDS, lambda: _find_death(process))
            finally:
                doorway.close()
            return BubblewrapSandbox(spec, folder, process, connections)
        except (OSError, SandboxError) as error:
            if process is not None:
                _end_process(process, -1)
            _remove_leftovers(folder)
            message = f"bubblewrap sandbox did not start: {error}"
            raise SandboxError(message) from error
        finally:
            if process is not None and process.stderr is not None:
                process.stderr.close()

    def reap(self) -> int:
        """See `sandbox.SandboxFactory`."""
        count = 0
        for folder in self._state.leftovers(self.kind):
            _remove_leftovers(folder)
            count += 1
        return count

    def close(self) -> None:
        """Let go of the state folder; sandboxes that were not destroyed die with this process."""
        self._launcher.shutdown()
        self._state.close()

    def _launch(self, spec: SandboxSpec, folder: SandboxFolder) -> subprocess.Popen[bytes]:
        cgroups = plan_cgroup(f"hearth-{folder.id}")
        folder.note_cgroups(tuple(map(str, cgroups)))
        if not create_cgroup(cgroups, spec.limits, spec.pids_max):
            cgroups = ()
        self._warn_once(spec, is_limited=bool(cgroups))
        command = build_command(
            Places(
                task=spec.code_dir.resolve(),
                runtime=RUNTIMES / spec.runtime,
                run=folder.run,
                etc=self._etc,
            ),
            bwrap=self._bwrap,
            program=_PROGRAMS[spec.runtime],
            tmp_mb=spec.tmp_mb,
            files_to_join=files_to_join(cgroups),
            as_root=os.geteuid() == 0,
        )
        return self._launcher.submit(_run_command, command).result()

    def _warn_once(self, spec: SandboxSpec, *, is_limited: bool) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        offered = "none, though egress was asked for" if spec.network is Network.EGRESS else "none"
        log_event(
            LOG,
            "sandbox.bubblewrap_isolation",
            level=logging.WARNING,
            network=offered,
            seccomp="none",
            memory_cpu_and_process_limits="kept" if is_limited else "NOT kept: no cgroup permitted",
            advice="SANDBOX=docker gives egress, seccomp and limits",
        )


def find_bubblewrap() -> str:
    """The path of bwrap. Raises SandboxError that says how to mend what is missing."""
    bwrap = shutil.which("bwrap", path=_PATH)
    if bwrap is None:
        message = "bwrap is not installed. Run: apt-get install bubblewrap"
        raise SandboxError(message)
    if os.geteuid() == 0 and shutil.which("setpriv", path=_PATH) is None:
        message = "setpriv is not installed, without which root cannot be left. Run: apt-get install util-linux"
        raise SandboxError(message)
    for setting, off in (
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        path = Path("/proc/sys") / setting
        with suppress(OSError):
            if path.read_text().strip() == off:
                name = setting.replace("/", ".")
                on = {"0": "15000" if "max" in setting else "1", "1": "0"}[off]
                message = f"user namespaces are disabled. Run as root: sysctl -w {name}={on}"
                raise SandboxError(message)
    return bwrap


def _run_command(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PATH": _PATH},
        start_new_session=True,  # an interrupt at the terminal is for the executor alone
    )


def _find_death(process: subprocess.Popen[bytes] | None) -> str | None:
    if process is None or process.poll() is None:
        return None
    said = process.stderr.read(2_000).decode("utf-8", "replace").strip() if process.stderr else ""
    return f"{describe_status(process.returncode)}; {said or 'it said nothing'}"


def _open_process(pid: int) -> int:
    with suppress(OSError):
        return os.pidfd_open(pid)
    return -1


def _end_process(process: subprocess.Popen[bytes], bootstrap: int) -> None:
    """Kill bwrap, and with it everything in its PID namespace; wait until that is done."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    if bootstrap >= 0:
        select.select([bootstrap], [], [], _END_SECONDS)
        os.close(bootstrap)


def _remove_leftovers(folder: SandboxFolder) -> None:
    cgroups = tuple(map(Path, folder.owner.cgroups))
    kill_cgroup(cgroups)
    remove_cgroup(cgroups)
    folder.remove()


def _write_etc(folder: Path) -> Path:
    """What /etc of every sandbox holds instead of the host's."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, text in FILES_MADE_UP.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            draft = folder / f".{name}.{os.getpid()}"
            draft.write_text(text)
            draft.chmod(0o644)
            draft.replace(path)
    return folder
