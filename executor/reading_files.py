"""Which of the kernel's files a meter reads, and when: a table, nothing else.

Not here: opening and reading them (`readings`), what they mean (the profiler).

A short name is that of the file; `unified/cpu.stat` is of the cgroup v2 hierarchy of a machine that
has its controllers in v1: there it costs one reading instead of cpuacct's three. The pressure files
come from that hierarchy too, wherever the sandbox has a cgroup in it.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from executor.cgroups import UNIFIED


class When(Enum):
    """Around the invocation, at which moments a file is read."""

    BOTH = "both"
    AFTER = "after"
    ONCE = "once"  # after; and of that text the next call counts from, for it is dear


class Reading(NamedTuple):
    """A file to be read under a short name."""

    name: str
    path: Path
    when: When = When.BOTH
    is_written: bool = False  # the peaks: cgroup v2 resets them for the descriptor that wrote


PEAK_1 = "memory.max_usage_in_bytes"
PEAK_2 = "memory.peak"
UNIFIED_CPU = "unified/cpu.stat"
PRESSURES = ("cpu.pressure", "io.pressure", "memory.pressure")
PRESSURES_OF_SERIES = ("cpu.pressure", "io.pressure")
CPU_FILES = frozenset(
    (UNIFIED_CPU, "cpu.stat", "cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys", "stat")
)
"""What CPU time is read from; `stat` is that of the process."""

MEMORY_OF_SERIES = ("memory.usage_in_bytes", "memory.current")
CPU_OF_SERIES = {"cgroup1": (UNIFIED_CPU, "cpuacct.usage"), "cgroup2": ("cpu.stat",)}

_CPUACCT = ("cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys")
_MEMORY_1 = ("memory.usage_in_bytes", "memory.oom_control")
_LIMIT_HITS_1 = ("memory.memsw.failcnt", "memory.failcnt")
_MEMORY_2 = ("memory.current", "memory.events")
STATISTICS = "memory.stat"


def choose_source(cgroups: Mapping[str, Path]) -> str:
    """Memory decides: a machine with both versions has its controllers in one of them."""
    if "memory" in cgroups:
        return "cgroup1"
    folder = cgroups.get(UNIFIED)
    return "cgroup2" if folder and (folder / "memory.current").exists() else "process"


def list_readings(source: str, cgroups: Mapping[str, Path], process: Path) -> Iterator[Reading]:
    """Every file worth a try; which of them exist is seen when they are opened."""
    yield Reading("schedstat", process / "schedstat")
    if source != "cgroup2":
        # cgroup v1 counts blkio.throttle.* on newer kernels only where a throttle is set.
        yield Reading("io", process / "io")
    if source == "process":
        yield Reading("stat", process / "stat")
        yield Reading("status", process / "status")
    # Not an alternative: a controller of its own is told even where memory has none.
    yield from _list_1(cgroups) if source != "cgroup2" else _list_2(cgroups[UNIFIED])
    if UNIFIED in cgroups:
        yield from _list(cgroups[UNIFIED], PRESSURES)


def _list_1(cgroups: Mapping[str, Path]) -> Iterator[Reading]:
    if UNIFIED in cgroups and (cgroups[UNIFIED] / "cpu.stat").exists():
        yield Reading(UNIFIED_CPU, cgroups[UNIFIED] / "cpu.stat")
    elif "cpuacct" in cgroups:
        yield from _list(cgroups["cpuacct"], _CPUACCT)
    if "cpu" in cgroups:
        yield Reading("cpu.stat", cgroups["cpu"] / "cpu.stat")
    if "memory" in cgroups:
        yield from _list(cgroups["memory"], _MEMORY_1)
        yield Reading(STATISTICS, cgroups["memory"] / STATISTICS, When.ONCE)
        # A sandbox's limit with swap is its limit without: then only the former is ever met.
        yield from _list(cgroups["memory"], [_first(cgroups["memory"], _LIMIT_HITS_1)])
        yield Reading(PEAK_1, cgroups["memory"] / PEAK_1, When.AFTER, is_written=True)
    if "blkio" in cgroups:
        yield from _list(cgroups["blkio"], ("blkio.throttle.io_service_bytes",))
    if "pids" in cgroups:
        yield Reading("pids.current", cgroups["pids"] / "pids.current", When.AFTER)


def _list_2(folder: Path) -> Iterator[Reading]:
    yield from _list(folder, ("cpu.stat", *_MEMORY_2, "io.stat"))
    yield Reading(STATISTICS, folder / STATISTICS, When.ONCE)
    yield Reading(PEAK_2, folder / PEAK_2, When.AFTER, is_written=True)
    yield Reading("pids.current", folder / "pids.current", When.AFTER)


def _first(folder: Path, names: tuple[str, ...]) -> str:
    return next((name for name in names if (folder / name).exists()), names[-1])


def _list(folder: Path, names: Collection[str]) -> Iterator[Reading]:
    return (Reading(name, folder / name) for name in names)
