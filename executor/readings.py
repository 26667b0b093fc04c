"""The meter of one sandbox: raw text of the kernel's files before and after an invocation.

Not here: what the text means (the profiler parses it), which files they are (`reading_files`),
where cgroups lie (`cgroups`).

Every file is opened once and then only `pread`: a path lookup for each of two dozen readings would
cost more than the readings. A file that is missing or cannot be read is left out.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from executor.call_memory import CallMemory
from executor.cgroups import UNIFIED, read_own_cgroups
from executor.controls import Controls, write
from executor.reading_files import (
    CPU_FILES,
    CPU_OF_SERIES,
    MEMORY_OF_SERIES,
    PEAK_1,
    PEAK_2,
    PRESSURES_OF_SERIES,
    STATISTICS,
    Reading,
    When,
    choose_source,
    list_readings,
)
from shared.events import Accuracy

READ_BYTES = 8_192  # memory.stat, the longest of them, has about 2,500
_SAMPLE_BYTES = 64  # the first line of each file in a series
_PROC = Path("/proc")
_RESET_PEAK_OF_PROCESS = b"5"  # to clear_refs: forget the process's high-water mark
_INTERFACES = "net/dev"


class _Peak(NamedTuple):
    """How the high-water mark of memory is reset."""

    accuracy: Accuracy
    descriptor: int = -1  # where to write; nowhere if negative
    text: bytes = b""


class Meter:
    """Readings of one sandbox. Not for several threads at once.

    Raises nothing once it is open: what cannot be read or set is left out.
    """

    def __init__(self, pid: int, proc: Path = _PROC) -> None:
        """Open the files of the process `pid`, which is in its place already."""
        self._process = proc / str(pid)
        self._descriptors: dict[str, int] = {}
        self._resources: list[int] = []
        self._after_only: set[str] = set()
        self._kept = ""  # memory.stat of the last `after`
        self._fixed: dict[str, str] = {}
        cgroups = read_own_cgroups(pid, proc)
        self.source = choose_source(cgroups)
        for reading in list_readings(self.source, cgroups, self._process):
            self._open_reading(reading)
        self._open_network()
        self._peak = self._open_peak()
        self.accuracy = self._peak.accuracy
        self.call_memory = self._open_call_memory(cgroups)
        self._controls = Controls(self.source, cgroups, self._open)
        self._after = tuple(self._descriptors.items())
        self._before = tuple(item for item in self._after if item[0] not in self._after_only)
        self.memory_of_series = self._find(MEMORY_OF_SERIES)
        self.cpu_of_series = self._find(CPU_OF_SERIES.get(self.source, ()))
        self.previous: dict[str, str] = {}  # the CPU files of the last `after`

    def before(self) -> dict[str, str]:
        """Forget the memory peak, then read what is compared with `after`.

        memory.stat is that of the last `after`, where there was one: it costs as much as five.
        """
        if self._peak.descriptor >= 0:
            write(self._peak.descriptor, self._peak.text)
        readings = self._read(self._before)
        self._kept = self._kept or self._read_whole(STATISTICS)
        if self._kept:
            readings[STATISTICS] = self._kept
        if self.call_memory is not None:
            readings.update(self._read_call(self.call_memory))
        return readings

    def after(self) -> dict[str, str]:
        """Read everything."""
        readings = self._read(self._after)
        self.previous = {name: readings[name] for name in CPU_FILES & readings.keys()}
        self._kept = readings.get(STATISTICS, "")
        if self.call_memory is not None:
            readings.update(self._read_call(self.call_memory))
        return readings

    def sample(self) -> tuple[str, str]:
        """Memory in use and CPU time at this moment; each empty where it cannot be read.

        The kernel adds the CPUs' pressure up at each look, the more truly the shorter ago the last
        one was: so it is looked at here, for the sake of `after`.
        """
        for name in PRESSURES_OF_SERIES:
            self._read_one(name)
        return self._read_one(self.memory_of_series), self._read_one(self.cpu_of_series)

    def read_cpu(self) -> dict[str, str]:
        """The CPU files alone."""
        readings = self._read(tuple(item for item in self._after if item[0] in CPU_FILES))
        return {name: readings[name] for name in CPU_FILES & readings.keys()}

    def oom_kills(self) -> int | None:
        """Processes of the cgroup that the kernel killed for memory so far; None: not known."""
        name = "memory.events" if self.source == "cgroup2" else "memory.oom_control"
        for line in self._read_whole(name).splitlines():
            key, _, count = line.partition(" ")
            if key == "oom_kill" and count.isdigit():
                return int(count)
        return None

    def limit_cpu(self, quota_us: int | None, period_us: int) -> bool:
        """See `Controls`."""
        return self._controls.limit_cpu(quota_us, period_us)

    def freeze(self) -> bool:
        """See `Controls`."""
        return self._controls.freeze()

    def thaw(self) -> bool:
        """See `Controls`."""
        return self._controls.thaw()

    def retire(self) -> None:
        """The sandbox is about to be destroyed: a frozen process cannot be killed."""
        if self.call_memory is not None:
            self.call_memory.close()
        self.thaw()

    def close(self) -> None:
        """Close the files; may be called again."""
        if self.call_memory is not None:
            self.call_memory.close()
            self.call_memory.forget()
        while self._resources:
            os.close(self._resources.pop())
        self._descriptors.clear()
        self._fixed.clear()
        self._kept = ""
        self._before = self._after = ()
        self._peak = _Peak(self.accuracy)
        self._controls.forget()

    def _read(self, items: tuple[tuple[str, int], ...]) -> dict[str, str]:
        readings = self._fixed.copy()
        pread = os.pread
        for name, descriptor in items:
            try:
                readings[name] = pread(descriptor, READ_BYTES, 0).decode("ascii", "replace")
            except OSError:  # the cgroup or process is gone
                continue
        return readings

    def _read_whole(self, name: str) -> str:
        with suppress(OSError):
            text = os.pread(self._descriptors.get(name, -1), READ_BYTES, 0)
            return text.decode("ascii", "replace")
        return ""

    def _read_one(self, name: str) -> str:
        """The first line."""
        with suppress(OSError):
            text = os.pread(self._descriptors.get(name, -1), _SAMPLE_BYTES, 0)
            return text[: text.find(b"\n") + 1].decode("ascii", "replace")
        return ""

    def _find(self, names: tuple[str, ...]) -> str:
        return next((name for name in names if name in self._descriptors), "")

    def _open_reading(self, reading: Reading) -> None:
        descriptor = self._open(reading.path, os.O_RDWR) if reading.is_written else -1
        descriptor = descriptor if descriptor >= 0 else self._open(reading.path, os.O_RDONLY)
        if descriptor >= 0:
            self._descriptors[reading.name] = descriptor
            if reading.when is not When.BOTH:
                self._after_only.add(reading.name)

    def _open_network(self) -> None:
        """The counters of its own interfaces; without any there is nothing that could change."""
        if not _has_own_network(self._process):
            return
        with suppress(OSError, ValueError):
            text = (self._process / _INTERFACES).read_text("ascii")
            if text.endswith("\n") and [
                line.split(":")[0].strip() for line in text.splitlines()[2:]
            ] == ["lo"]:
                self._fixed[_INTERFACES] = text
                return
        self._open_reading(Reading(_INTERFACES, self._process / _INTERFACES))

    def _open_peak(self) -> _Peak:
        """The best way to reset the peak that this kernel has."""
        for name in (PEAK_1, PEAK_2):
            descriptor = self._descriptors.get(name, -1)
            if descriptor >= 0 and write(descriptor, b"0"):
                return _Peak(Accuracy.EXACT, descriptor, b"0")
        # Read before too: where the lifetime's peak rises, it is the invocation's.
        self._after_only -= {PEAK_1, PEAK_2, "pids.current"}
        descriptor = self._open(self._process / "clear_refs", os.O_WRONLY)
        if descriptor >= 0 and write(descriptor, _RESET_PEAK_OF_PROCESS):
            for name in ("status", "stat"):  # the mark, and whether there were children
                if name not in self._descriptors:
                    self._open_reading(Reading(name, self._process / name))
            return _Peak(Accuracy.PROCESS_EXACT, descriptor, _RESET_PEAK_OF_PROCESS)
        has_peak = {PEAK_1, PEAK_2, "status"} & self._descriptors.keys()
        return _Peak(Accuracy.UPPER_BOUND if has_peak else Accuracy.NONE)

    def _open_call_memory(self, cgroups: dict[str, Path]) -> CallMemory | None:
        """Only where the kernel cannot reset the cgroup's peak and can the process's."""
        if self.source != "cgroup2" or self.accuracy is not Accuracy.PROCESS_EXACT:
            return None
        memory = CallMemory(cgroups[UNIFIED], self._read_whole)
        if memory.others_at_start:
            self._fixed["pids.others_at_start"] = memory.others_at_start
        return memory

    def _read_call(self, memory: CallMemory) -> dict[str, str]:
        """With the network, loopback too: its buffers are memory, maybe of an earlier call's."""
        readings = memory.readings()
        if readings:
            with suppress(OSError):
                readings["call/net/dev"] = (self._process / _INTERFACES).read_text(
                    "ascii", "replace"
                )
        return readings

    def _open(self, path: Path, flags: int) -> int:
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
        except OSError:
            return -1
        self._resources.append(descriptor)
        return descriptor


def _has_own_network(process: Path) -> bool:
    with suppress(OSError):
        return (process / "ns/net").readlink() != (process.parent / "self/ns/net").readlink()
    return False
