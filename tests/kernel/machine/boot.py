"""One boot of the virtual machine, from start to its own end.

Software emulation, so that it works where no virtualisation is offered, inside one too.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.machine.closure import own_python
from tests.kernel.machine.images import (
    make_loader,
    make_project,
    make_scratch,
    make_system,
    need_program,
    read_scratch,
)
from tests.kernel.machine.kernel import get_kernel

_DISK_BYTES_PER_SECOND = 100 << 20  # slow enough that a wait for it can be measured
_MEMORY_MB = 1_500
_CONSOLE_TAIL = 4_000


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    status: str  # of the guest's program; empty if it never ended
    output: str
    console: str
    results: Path


def boot(version: str, cache: Path, results: Path, seconds_max: int) -> Outcome:
    """Run `guest.py` on that kernel; its results lie below `results` afterwards.

    Raises UnavailableError where the machine cannot be made here.
    """
    qemu = need_program("qemu-system-x86_64")
    cache, results = cache.resolve(), results.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    kernel = get_kernel(version, cache)
    system = make_system(cache)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        make_loader(kernel, folder / "loader")
        make_project(folder / "project.ext4")
        make_scratch(folder / "scratch.ext4")
        limit = f"throttling.bps-total={_DISK_BYTES_PER_SECOND}"
        console = _run(
            [
                str(qemu),
                *("-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(_MEMORY_MB)),
                *("-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot"),
                *("-kernel", str(kernel.image), "-initrd", str(folder / "loader")),
                *("-append", _describe_command_line()),
                *_describe_disk(system, "snapshot=on"),
                *_describe_disk(folder / "project.ext4", "snapshot=on"),
                *_describe_disk(folder / "scratch.ext4", f"cache=unsafe,{limit}"),
            ],
            seconds_max,
        )
        results.mkdir(parents=True, exist_ok=True)
        read_scratch(folder / "scratch.ext4", results)
    place = results / "results"
    return Outcome(
        status=_read(place / "status").strip(),
        output=_read(place / "output"),
        console=console[-_CONSOLE_TAIL:],
        results=place,
    )


def _describe_command_line() -> str:
    words = ("console=ttyS0", "quiet", "cgroup_no_v1=all", "panic=-1", "sysrq_always_enabled")
    return " ".join([*words, "mitigations=off", f"hearth.python={own_python()}"])


def _describe_disk(image: Path, options: str) -> tuple[str, str]:
    return "-drive", f"file={image},format=raw,if=virtio,{options}"


def _run(command: list[str], seconds_max: int) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace")
    return done.stdout.decode(errors="replace")


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
