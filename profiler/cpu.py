"""CPU time, throttling and the wait for a CPU, from whichever files tell of them.

Not here: how the wait is divided from other waits (`breakdown`).
"""

from msgspec.structs import replace

from profiler.deltas import (
    Amount,
    Pair,
    count,
    count_single,
    subtract,
    subtract_pairs,
    within_bounds,
)
from profiler.parse import parse_field, parse_pressure, parse_schedstat, parse_ticks
from shared.events import Readings

UNIFIED_CPU = "unified/cpu.stat"
_US_PER_TICK = 10_000  # 100 Hz: what every Linux shows to programs, whatever it counts in


def read_cpu(readings: Readings) -> Pair:
    """User and system microseconds of the cgroup, else of the process."""
    if readings.source == "cgroup2":
        return _cpu_of_stat(readings, "cpu.stat")
    if UNIFIED_CPU in readings.after:
        return _cpu_of_stat(readings, UNIFIED_CPU)
    return _cpu_1(readings)


def read_cpu_after_answer(readings: Readings) -> Amount:
    """CPU time from the sandbox's previous answer until this call; 0 where there was none."""
    if not readings.previous:
        return 0
    between = replace(readings, before=readings.previous, after=readings.before)
    cpu = read_cpu(between)
    return None if cpu is None else within_bounds(cpu[0] + cpu[1])


def read_throttled(readings: Readings) -> tuple[Amount, Amount]:
    """Microseconds, each CPU counted for itself, and periods."""
    periods = count(readings, "cpu.stat", "nr_throttled")
    if readings.source == "cgroup2":
        return count(readings, "cpu.stat", "throttled_usec"), periods
    throttled_ns = count(readings, "cpu.stat", "throttled_time")
    return None if throttled_ns is None else throttled_ns // 1000, periods


def read_main_thread(readings: Readings) -> Pair:
    """Microseconds that the bootstrap's first thread was on a CPU, and ready but not on one."""
    pair = subtract_pairs(
        parse_schedstat(readings.before.get("schedstat", "")),
        parse_schedstat(readings.after.get("schedstat", "")),
    )
    return None if pair is None else (pair[0] // 1000, pair[1] // 1000)


def read_stall(readings: Readings, resource: str) -> Amount:
    """Microseconds of full pressure of `cpu`, `io` or `memory`: nothing of the cgroup went on."""
    name = resource + ".pressure"
    before, after = readings.before.get(name, ""), readings.after.get(name, "")
    stalled_us = parse_pressure(after)
    if before is after:
        return None if stalled_us is None else 0
    return subtract(parse_pressure(before), stalled_us)


def parse_cpu_of_sample(text: str, name: str) -> Amount:
    """Microseconds in a text of a series."""
    if name.endswith("cpu.stat"):
        return parse_field(text, "usage_usec")
    nanoseconds = parse_field("usage " + text, "usage")
    return None if nanoseconds is None else nanoseconds // 1000


def _cpu_of_stat(readings: Readings, name: str) -> Pair:
    user, system = count(readings, name, "user_usec"), count(readings, name, "system_usec")
    return None if user is None or system is None else (user, system)


def _cpu_1(readings: Readings) -> Pair:
    """From cpuacct.

    `cpuacct.usage_user` and `_sys` are sampled at the kernel's tick (4 ms at 250 Hz), and
    throttling keeps step with the tick: 578 ms of work were seen as 420. So they only divide the
    exact `cpuacct.usage`, as the kernel itself divides a process's time; where it was not read,
    they are all there is.
    """
    user = count_single(readings, "cpuacct.usage_user")
    system = count_single(readings, "cpuacct.usage_sys")
    if user is None or system is None:
        return _cpu_of_process(readings)
    if "cpuacct.usage" not in readings.after:
        return user // 1000, system // 1000
    exact = count_single(readings, "cpuacct.usage")
    if exact is None:
        return None
    system = exact * system // (user + system) if system else 0
    return (exact - system) // 1000, system // 1000


def _cpu_of_process(readings: Readings) -> Pair:
    pair = subtract_pairs(
        parse_ticks(readings.before.get("stat", "")), parse_ticks(readings.after.get("stat", ""))
    )
    return None if pair is None else (pair[0] * _US_PER_TICK, pair[1] * _US_PER_TICK)
