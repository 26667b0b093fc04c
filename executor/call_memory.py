"""The memory of single calls where the kernel resets no peak of a cgroup (v2 before Linux 6.12).

There the process's own mark can be reset, which is enough for a function that is one process. With
children, or files in /tmp, a cgroup of the calls begins anew while the sandbox is idle.

Not here: how that is made (`call_cgroup`), what the readings mean (the profiler).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from executor.call_cgroup import CallCgroup, CallMark

Read = Callable[[str], str]
"""The text of one of the meter's files, by its short name; empty where it cannot be read."""

_STALE_BYTES = 1 << 19
_FILE_BYTES = 1 << 20
_LOOKS_MAX = 5


class Company(NamedTuple):
    """What uses memory of the sandbox besides its bootstrap."""

    children_faults: int  # of those that were waited for
    others: int  # processes and their threads
    file_bytes: int  # in /tmp

    def has_joined(self, first: "Company") -> bool:
        """More than there was at first."""
        return (
            self.children_faults != first.children_faults
            or self.others > first.others
            or self.file_bytes > first.file_bytes + _FILE_BYTES
        )


class CallMemory:
    """Of one sandbox. For the loop's thread, but for `renew` and `close`."""

    def __init__(self, folder: Path, read: Read) -> None:
        """`folder` is the sandbox's cgroup. No function runs in it yet."""
        self._read = read
        self._cgroup = CallCgroup(folder)
        self._mark: CallMark | None = None
        self._first = _look(read)
        self._had_company = False
        self.others_at_start = "" if self._first is None else f"{self._first.others}\n"

    def readings(self) -> dict[str, str]:
        """Of the cgroup of the calls; empty where there is none."""
        return {} if self._mark is None else self._mark.read()

    def wants_renewal(self) -> bool:
        """The next call's peak could not be told, and a new cgroup would change that."""
        if not self._had_company:
            now = _look(self._read)
            self._had_company = now is None or self._first is None or now.has_joined(self._first)
        return self._had_company and self._is_stale() and self._cgroup.may_renew

    def forget(self) -> None:
        """Before `renew`: what is read while processes are moved means nothing."""
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.close()

    def renew(self) -> CallMark | None:
        """See `CallCgroup`; its result is for `adopt`."""
        return self._cgroup.renew()

    def adopt(self, mark: CallMark | None) -> None:
        """Read this from now on. Never during a call, which may have begun beside it."""
        self.forget()
        self._mark = mark

    def close(self) -> None:
        """Nothing is made below the sandbox's cgroup any more. From any thread."""
        self._cgroup.close()

    def _is_stale(self) -> bool:
        """The mark stands above what is in use: who stays below it leaves no trace."""
        texts = self.readings()
        peak = _parse(texts.get("call/memory.peak", "") or self._read("memory.peak"))
        current = _parse(texts.get("call/memory.current", "") or self._read("memory.current"))
        return peak is None or current is None or peak > current + _STALE_BYTES


def _look(read: Read) -> Company | None:
    """Who is there; None: not known. The kernel gives no moment at which both counts are taken."""
    for _ in range(_LOOKS_MAX):
        before = _parse_process(read("stat"))
        everybody = _parse(read("pids.current"))
        process = _parse_process(read("stat"))
        if process is None or everybody is None:
            return None
        if process == before:
            children_faults, threads = process
            return Company(children_faults, everybody - threads, _parse_files(read("memory.stat")))
    return None


def _parse_process(text: str) -> tuple[int, int] | None:
    """Faults of the children that were waited for, and threads, of /proc/<pid>/stat."""
    words = text.rpartition(")")[2].split()
    fields = [words[index] for index in (8, 10, 17)] if len(words) > 17 else []
    if not fields or not all(field.isdigit() for field in fields):
        return None
    minor, major, threads = map(int, fields)
    return minor + major, threads


def _parse_files(text: str) -> int:
    for line in text.splitlines():
        key, _, amount = line.partition(" ")
        if key == "shmem" and amount.isdigit():
            return int(amount)
    return 0


def _parse(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None
