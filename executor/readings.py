"""The meter of one sandbox: raw text of the kernel's files before and after an invocation.

Not here: what the text means (the profiler parses it), and where cgroups lie (`cgroups`).

Every file is opened once and then only `pread`: a path lookup for each of two dozen readings would
cost more than the readings. A file that is missing or cannot be read is left out.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from executor.cgroups import UNIFIED, read_own_cgroups
from shared.events import Accuracy

READ_BYTES = 8_192  # memory.stat, the longest of them, has about 2,500
_PROC = Path("/proc")
_RESET_PEAK_OF_PROCESS = b"5"  # to clear_refs: forget the process's high-water mark

_FILES_1 = {
    "cpuacct": ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys"),
    "cpu": ("cpu.stat",),
    "memory": (
        "memory.usage_in_bytes",
        "memory.max_usage_in_bytes",
        "memory.stat",
        "memory.oom_control",
    ),
    "blkio": ("blkio.throttle.io_service_bytes",),
}
_FILES_2 = {
    UNIFIED: (
        "cpu.stat",
        "memory.current",
        "memory.peak",
        "memory.stat",
        "memory.events",
        "io.stat",
    )
}
_FILES_OF_PROCESS = ("stat", "status", "io")
_PEAKS = frozenset(("memory.peak", "memory.max_usage_in_bytes", "status"))


class _Peak(NamedTuple):
    """How the high-water mark of memory is reset."""

    accuracy: Accuracy
    descriptor: int = -1  # where to write; nowhere if negative
    text: bytes = b""


class _Freezer(NamedTuple):
    """How the sandbox is stopped where it is."""

    descriptor: int = -1
    frozen: bytes = b""
    thawed: bytes = b""


class Meter:
    """Readings of one sandbox. Not for several threads at once.

    Raises nothing once it is open: what cannot be read or set is left out.
    """

    def __init__(self, pid: int, proc: Path = _PROC) -> None:
        """Open the files of the process `pid`, which is in its place already."""
        self._process = proc / str(pid)
        self._descriptors: dict[str, int] = {}
        self._resources: list[int] = []
        cgroups = read_own_cgroups(pid, proc)
        self.source = _choose_source(cgroups)
        self._open_readings(cgroups)
        self._peak = self._open_peak()
        self.accuracy = self._peak.accuracy
        self._quota = self._open_quota(cgroups)
        self._freezer = self._open_freezer(cgroups)
        self._reads = tuple(self._descriptors.items())

    def before(self) -> dict[str, str]:
        """Forget the memory peak, then read everything."""
        if self._peak.descriptor >= 0:
            _write(self._peak.descriptor, self._peak.text)
        return self._read()

    def after(self) -> dict[str, str]:
        """Read everything."""
        return self._read()

    def oom_kills(self) -> int | None:
        """Processes of the cgroup that the kernel killed for memory so far; None: not known."""
        name = "memory.events" if self.source == "cgroup2" else "memory.oom_control"
        for line in self._read_one(name).splitlines():
            key, _, count = line.partition(" ")
            if key == "oom_kill" and count.isdigit():
                return int(count)
        return None

    def limit_cpu(self, quota_us: int | None, period_us: int) -> bool:
        """Grant `quota_us` of CPU time in each period; None: no limit. Whether it holds now."""
        if self.source == "cgroup2":
            quota = "max" if quota_us is None else str(quota_us)
            return self._write_quota("cpu.max", f"{quota} {period_us}")
        period_holds = self._write_quota("cpu.cfs_period_us", str(period_us))
        quota = "-1" if quota_us is None else str(quota_us)
        return period_holds and self._write_quota("cpu.cfs_quota_us", quota)

    def freeze(self) -> bool:
        """Stop every process of the sandbox where it is; whether that was possible."""
        return _write(self._freezer.descriptor, self._freezer.frozen)

    def thaw(self) -> bool:
        """Let the processes go on; whether that was possible."""
        return _write(self._freezer.descriptor, self._freezer.thawed)

    def close(self) -> None:
        """Close the files; may be called again."""
        while self._resources:
            os.close(self._resources.pop())
        self._descriptors.clear()
        self._reads = ()
        self._peak = _Peak(self.accuracy)
        self._quota = {}
        self._freezer = _Freezer()

    def _read(self) -> dict[str, str]:
        readings = {}
        for name, descriptor in self._reads:
            try:
                text = os.pread(descriptor, READ_BYTES, 0)
            except OSError:  # the cgroup or process is gone
                continue
            readings[name] = text.decode("ascii", "replace")
        return readings

    def _read_one(self, name: str) -> str:
        descriptor = self._descriptors.get(name, -1)
        with suppress(OSError):
            return os.pread(descriptor, READ_BYTES, 0).decode("ascii", "replace")
        return ""

    def _open_readings(self, cgroups: Mapping[str, Path]) -> None:
        if self.source == "process":
            for name in _FILES_OF_PROCESS:
                self._open_reading(name, self._process / name)
        if self.source == "cgroup1":
            # Newer kernels count blkio.throttle.* only where a throttle is set.
            self._open_reading("io", self._process / "io")
        # Not an alternative: a controller of its own is told even where memory has none.
        files = _FILES_2 if self.source == "cgroup2" else _FILES_1
        for controller, names in files.items():
            for name in names if controller in cgroups else ():
                self._open_reading(name, cgroups[controller] / name)
        if _has_own_network(self._process):
            self._open_reading("net/dev", self._process / "net" / "dev")

    def _open_reading(self, name: str, path: Path) -> None:
        # The peaks are written too: cgroup v2 resets them for one descriptor alone.
        is_peak = name in ("memory.peak", "memory.max_usage_in_bytes")
        descriptor = self._open(path, os.O_RDWR) if is_peak else -1
        descriptor = descriptor if descriptor >= 0 else self._open(path, os.O_RDONLY)
        if descriptor >= 0:
            self._descriptors[name] = descriptor

    def _open_peak(self) -> _Peak:
        """The best way to reset the peak that this kernel has."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            descriptor = self._descriptors.get(name, -1)
            if descriptor >= 0 and _write(descriptor, b"0"):
                return _Peak(Accuracy.EXACT, descriptor, b"0")
        descriptor = self._open(self._process / "clear_refs", os.O_WRONLY)
        if descriptor >= 0 and _write(descriptor, _RESET_PEAK_OF_PROCESS):
            self._open_reading("status", self._process / "status")
            return _Peak(Accuracy.PROCESS_EXACT, descriptor, _RESET_PEAK_OF_PROCESS)
        return _Peak(Accuracy.UPPER_BOUND if _PEAKS & set(self._descriptors) else Accuracy.NONE)

    def _open_quota(self, cgroups: Mapping[str, Path]) -> dict[str, int]:
        names: tuple[str, ...] = ("cpu.cfs_period_us", "cpu.cfs_quota_us")
        controller = "cpu"
        if self.source == "cgroup2":
            names, controller = ("cpu.max",), UNIFIED
        folder = cgroups.get(controller)
        return {name: self._open(folder / name, os.O_WRONLY) for name in names} if folder else {}

    def _open_freezer(self, cgroups: Mapping[str, Path]) -> _Freezer:
        if "freezer" in cgroups:
            descriptor = self._open(cgroups["freezer"] / "freezer.state", os.O_WRONLY)
            return _Freezer(descriptor, b"FROZEN", b"THAWED")
        folder = cgroups.get(UNIFIED)
        descriptor = self._open(folder / "cgroup.freeze", os.O_WRONLY) if folder else -1
        return _Freezer(descriptor, b"1", b"0")

    def _open(self, path: Path, flags: int) -> int:
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
        except OSError:
            return -1
        self._resources.append(descriptor)
        return descriptor

    def _write_quota(self, name: str, text: str) -> bool:
        return _write(self._quota.get(name, -1), text.encode())


def _choose_source(cgroups: Mapping[str, Path]) -> str:
    """Memory decides: a machine with both versions has its controllers in one of them."""
    if "memory" in cgroups:
        return "cgroup1"
    folder = cgroups.get(UNIFIED)
    return "cgroup2" if folder and (folder / "memory.current").exists() else "process"


def _has_own_network(process: Path) -> bool:
    with suppress(OSError):
        return (process / "ns/net").readlink() != (process.parent / "self/ns/net").readlink()
    return False


def _write(descriptor: int, text: bytes) -> bool:
    with suppress(OSError):
        return os.pwrite(descriptor, text, 0) == len(text)
    return False
