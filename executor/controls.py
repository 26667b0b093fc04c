"""What is written to the cgroups of one sandbox while it runs: the CPU quota, the freezer.

Not here: readings (`readings`), and what a cgroup is made with (`own_cgroup`).
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from executor.cgroups import UNIFIED

Open = Callable[[Path, int], int]
"""Opens a file with flags; a negative number where that is not possible."""


class _Freezer(NamedTuple):
    """How the sandbox is stopped where it is."""

    descriptor: int = -1
    frozen: bytes = b""
    thawed: bytes = b""


class Controls:
    """Descriptors held open, owned by whoever opened them."""

    def __init__(self, source: str, cgroups: Mapping[str, Path], open_file: Open) -> None:
        self._is_2 = source == "cgroup2"
        self._quota = _open_quota(cgroups, open_file, is_2=self._is_2)
        self._freezer = _open_freezer(cgroups, open_file)

    def limit_cpu(self, quota_us: int | None, period_us: int) -> bool:
        """Grant `quota_us` of CPU time in each period; None: no limit. Whether it holds now."""
        if self._is_2:
            quota = "max" if quota_us is None else str(quota_us)
            return self._write_quota("cpu.max", f"{quota} {period_us}")
        period_holds = self._write_quota("cpu.cfs_period_us", str(period_us))
        quota = "-1" if quota_us is None else str(quota_us)
        return period_holds and self._write_quota("cpu.cfs_quota_us", quota)

    def freeze(self) -> bool:
        """Stop every process of the sandbox where it is; whether that was possible."""
        return write(self._freezer.descriptor, self._freezer.frozen)

    def thaw(self) -> bool:
        """Let the processes go on; whether that was possible."""
        return write(self._freezer.descriptor, self._freezer.thawed)

    def forget(self) -> None:
        """The descriptors are closed."""
        self._quota = {}
        self._freezer = _Freezer()

    def _write_quota(self, name: str, text: str) -> bool:
        return write(self._quota.get(name, -1), text.encode())


def write(descriptor: int, text: bytes) -> bool:
    """Whether the kernel took it."""
    with suppress(OSError):
        return os.pwrite(descriptor, text, 0) == len(text)
    return False


def _open_quota(cgroups: Mapping[str, Path], open_file: Open, *, is_2: bool) -> dict[str, int]:
    names = ("cpu.max",) if is_2 else ("cpu.cfs_period_us", "cpu.cfs_quota_us")
    folder = cgroups.get(UNIFIED if is_2 else "cpu")
    return {name: open_file(folder / name, os.O_WRONLY) for name in names} if folder else {}


def _open_freezer(cgroups: Mapping[str, Path], open_file: Open) -> _Freezer:
    if "freezer" in cgroups:
        descriptor = open_file(cgroups["freezer"] / "freezer.state", os.O_WRONLY)
        return _Freezer(descriptor, b"FROZEN", b"THAWED")
    folder = cgroups.get(UNIFIED)
    descriptor = open_file(folder / "cgroup.freeze", os.O_WRONLY) if folder else -1
    return _Freezer(descriptor, b"1", b"0")
