"""Memory: the peak and how far it may be trusted, baseline, growth, page cache, faults.

Not here: what a peak means for the limit (the tuner).
"""

from typing import NamedTuple

from profiler.call_memory import read_call_peak
from profiler.deltas import Amount, Pair, count, count_single, subtract, within_bounds
from profiler.parse import (
    parse_children_faults,
    parse_faults,
    parse_field,
    parse_kilobytes,
    parse_single,
    parse_threads,
)
from shared.events import Accuracy, Readings

_FILE_CACHE = ("inactive_file", "active_file")
_SLACK_BYTES = 1 << 20


class Memory(NamedTuple):
    """Bytes; the accuracy is of the peak."""

    peak: Amount
    baseline: Amount
    growth: Amount
    accuracy: Accuracy


def read_memory(readings: Readings) -> Memory:
    """The peak of the invocation, with a baseline of the same kind: only such are comparable.

    Where the meter could only reset the process's mark, the cgroup's is that of its lifetime. If it
    rose, it was reached now, and is exact. Else a cgroup of the calls may tell. If there were
    children, or files in memory, the mark of the process says too little: the lifetime's is the
    upper bound. Otherwise that mark holds.
    """
    if readings.accuracy is Accuracy.NONE:
        return _of_nothing(readings)
    if readings.accuracy is not Accuracy.PROCESS_EXACT:
        is_cgroup = readings.source != "process"
        return (_of_cgroup if is_cgroup else _of_process)(readings, readings.accuracy)
    before, after = _lifetime_peak(readings.before), _lifetime_peak(readings.after)
    if before is not None and after is not None and after > before:
        return _of_cgroup(readings, Accuracy.EXACT)
    of_call = read_call_peak(readings)
    if of_call is not None:
        return _of_cgroup(readings, Accuracy.EXACT)._replace(peak=of_call)
    if not may_have_had_children(readings) and not _kept_files(readings):
        return _of_process(readings, Accuracy.PROCESS_EXACT)
    return _of_cgroup(readings, Accuracy.UPPER_BOUND)


def may_have_had_children(readings: Readings) -> bool:
    """Unless it is known that the bootstrap waited for none, left none and had none."""
    before, after = readings.before.get("stat", ""), readings.after.get("stat", "")
    faults_before, faults_after = parse_children_faults(before), parse_children_faults(after)
    if faults_before is None or faults_before != faults_after:
        return True
    if "pids.current" not in readings.after:
        return False  # without a cgroup, nobody counts what it left
    before_count, after_count = _others(readings.before), _others(readings.after)
    if before_count is None or before_count != after_count:
        return True
    if "pids.others_at_start" not in readings.before:
        return False  # readings of earlier times
    # Who lives through the call may have taken memory in it.
    at_start = parse_single(readings.before["pids.others_at_start"])
    return at_start is None or before_count > at_start


def read_page_cache(readings: Readings) -> Amount:
    """On cgroup v1 only the lines that begin with `total_` include the cgroups below."""
    text, prefix = readings.after.get("memory.stat", ""), _prefix(readings)
    inactive, active = (parse_field(text, prefix + key) for key in _FILE_CACHE)
    return None if inactive is None or active is None else within_bounds(inactive + active)


def read_faults(readings: Readings) -> Pair:
    """Page faults and, among them, those that read from a disk; of the cgroup or the process."""
    prefix = _prefix(readings)
    total = count(readings, "memory.stat", prefix + "pgfault")
    major = count(readings, "memory.stat", prefix + "pgmajfault")
    if total is not None and major is not None:
        return total, major
    if readings.source != "process":
        return None
    before = parse_faults(readings.before.get("stat", ""))
    after = parse_faults(readings.after.get("stat", ""))
    if before is None or after is None:
        return None
    minor, major = subtract(before[0], after[0]), subtract(before[1], after[1])
    return None if minor is None or major is None else (minor + major, major)


def read_limit_hits(readings: Readings) -> Amount:
    """How often an allocation met the limit.

    Some kernels do not count it on cgroup v1: none, with a peak at the limit, is not believed.
    """
    if readings.source == "cgroup2":
        return count(readings, "memory.events", "max")
    hits = count_single(readings, "memory.memsw.failcnt")
    hits = count_single(readings, "memory.failcnt") if hits is None else hits
    return hits if hits or has_met_limit(readings) is False else None


def has_met_limit(readings: Readings) -> bool | None:
    """Whether an allocation met the limit; None: not known."""
    if readings.source == "cgroup2":
        hits = count(readings, "memory.events", "max")
        return None if hits is None else hits > 0
    limit = parse_field(readings.after.get("memory.stat", ""), "hierarchical_memory_limit")
    peak = _lifetime_peak(readings.after)
    # The kernel charges memory ahead, and does not where that does not fit.
    return None if limit is None or peak is None else peak > limit - _SLACK_BYTES


def _of_nothing(readings: Readings) -> Memory:
    is_cgroup = readings.source != "process"
    known = (_of_cgroup if is_cgroup else _of_process)(readings, Accuracy.NONE)
    return known._replace(peak=None)


def _of_cgroup(readings: Readings, accuracy: Accuracy) -> Memory:
    name = "memory.current" if readings.source == "cgroup2" else "memory.usage_in_bytes"
    before = parse_single(readings.before.get(name, ""))
    after = parse_single(readings.after.get(name, ""))
    return _make(_lifetime_peak(readings.after), before, after, accuracy)


def _of_process(readings: Readings, accuracy: Accuracy) -> Memory:
    before, after = readings.before.get("status", ""), readings.after.get("status", "")
    return _make(
        within_bounds(parse_kilobytes(after, "VmHWM")),
        within_bounds(parse_kilobytes(before, "VmRSS")),
        within_bounds(parse_kilobytes(after, "VmRSS")),
        accuracy,
    )


def _make(peak: Amount, before: Amount, after: Amount, accuracy: Accuracy) -> Memory:
    growth = None if before is None or after is None else after - before
    return Memory(peak, before, growth, Accuracy.NONE if peak is None else accuracy)


def _lifetime_peak(files: dict[str, str]) -> Amount:
    for name in ("memory.peak", "memory.max_usage_in_bytes"):
        if name in files:
            return parse_single(files[name])
    return None


def _others(files: dict[str, str]) -> Amount:
    """Processes and threads that are not the bootstrap's."""
    everybody = parse_single(files.get("pids.current", ""))
    own = parse_threads(files.get("stat", ""))
    return None if everybody is None or own is None else everybody - own


def _kept_files(readings: Readings) -> bool:
    """Files in /tmp take memory of the cgroup and none of the process."""
    if readings.source == "process":
        return False
    before = parse_field(readings.before.get("memory.stat", ""), _prefix(readings) + "shmem")
    after = parse_field(readings.after.get("memory.stat", ""), _prefix(readings) + "shmem")
    return before is None or after is None or after > before + _SLACK_BYTES


def _prefix(readings: Readings) -> str:
    return "" if readings.source == "cgroup2" else "total_"
