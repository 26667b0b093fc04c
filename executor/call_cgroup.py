"""A cgroup of the calls below a sandbox's own, made anew while it is idle (cgroup v2 before 6.12).

Such a kernel never resets `memory.peak`: only a new cgroup begins at nothing. So the processes of
an idle sandbox are moved into one. The sandbox's own keeps its limits and its counts, which include
whatever lies below it.

Not here: whether one is wanted (`call_memory`) and when (`rest`).
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from executor.cgroups import CALL_CGROUP

_ROUNDS_MAX = 16  # of moving: who forks all the time is not waited for
_FAILURES_MAX = 3
# A removed cgroup stays in the kernel while a page of it is in use: 4 KB, and 4 KB a processor.
_DYING_MAX = 16
_TEXT_BYTES = 64


class CallMark(NamedTuple):
    """The memory files of one such cgroup, open."""

    number: int  # no two of a sandbox have the same
    peak: int
    current: int

    def read(self) -> dict[str, str]:
        """What is in it, and the most there was; empty once the cgroup is gone."""
        try:
            peak, current = os.pread(self.peak, _TEXT_BYTES, 0), os.pread(self.current, 64, 0)
        except OSError:
            return {}
        return {
            "call/number": f"{self.number}\n",
            "call/memory.peak": peak.decode("ascii", "replace"),
            "call/memory.current": current.decode("ascii", "replace"),
        }

    def close(self) -> None:
        """Close the files."""
        os.close(self.peak)
        os.close(self.current)


class CallCgroup:
    """The newest below `folder`, the sandbox's own cgroup."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._number = 0
        self._failures = 0
        self._closed = not os.access(folder / "cgroup.subtree_control", os.W_OK)

    @property
    def may_renew(self) -> bool:
        """It is permitted, worked so far, and leaves not too much behind."""
        return not self._closed and self._failures < _FAILURES_MAX and not self._leaves_too_many()

    def renew(self) -> CallMark | None:
        """Move every process into a new one; None where that failed, then marks mean nothing.

        Waits for the kernel, some milliseconds. On any thread, one at a time.
        """
        with self._lock:
            if self._closed:
                return None
            try:
                return self._renew()
            except OSError:
                self._failures += 1
                return None

    def close(self) -> None:
        """Make no more: the sandbox is about to be destroyed. From any thread."""
        with self._lock:
            self._closed = True

    def _renew(self) -> CallMark | None:
        self._number += 1
        new = self._folder / f"{CALL_CGROUP}{self._number}"
        new.mkdir()
        old = [folder for folder in self._folder.glob(f"{CALL_CGROUP}*") if folder != new]
        self._move([self._folder, *old], new)
        if not _read_members(new):  # everybody died meanwhile
            new.rmdir()
            return None
        # Refused while a process is beside `new`, and `rmdir` while one is in there: so from here
        # on every page that is charged is charged to `new`.
        (self._folder / "cgroup.subtree_control").write_text("+memory")
        for folder in old:
            folder.rmdir()
        peak = os.open(new / "memory.peak", os.O_RDONLY | os.O_CLOEXEC)
        try:
            current = os.open(new / "memory.current", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(peak)
            raise
        return CallMark(self._number, peak, current)

    def _move(self, sources: list[Path], target: Path) -> None:
        """Until none is left: what a process forks while it is moved may stay behind."""
        for _ in range(_ROUNDS_MAX):
            members = [pid for source in sources for pid in _read_members(source)]
            if not members:
                return
            for pid in members:
                with suppress(ProcessLookupError):
                    (target / "cgroup.procs").write_text(pid)

    def _leaves_too_many(self) -> bool:
        with suppress(OSError):
            for line in (self._folder / "cgroup.stat").read_text().splitlines():
                key, _, count = line.partition(" ")
                if key == "nr_dying_descendants":
                    return not count.isdigit() or int(count) >= _DYING_MAX
        return False


def _read_members(folder: Path) -> list[str]:
    return (folder / "cgroup.procs").read_text().split()
