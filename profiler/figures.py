"""Readings to figures: which file of which kernel interface answers which question.

Not here: how one file is read (`parse`), what the figures add up to (`profile`).
A figure is None when its file is missing, cut off, no number, or when a counter ran backwards:
what cannot be known is never a number.
"""

from typing import NamedTuple

from profiler.parse import (
    DIGITS_MAX,
    Table,
    parse_block_1,
    parse_block_2,
    parse_field,
    parse_interfaces,
    parse_kilobytes,
    parse_single,
    parse_ticks,
)
from shared.events import Accuracy, Readings

_AMOUNT_MAX = 10**DIGITS_MAX
_US_PER_TICK = 10_000  # 100 Hz: what every Linux shows to programs, whatever it counts in

Amount = int | None
Pair = tuple[int, int] | None


class Figures(NamedTuple):
    """The measured fields of a `Profile`, under the same names; None: unknown."""

    cpu_user_us: Amount = None
    cpu_system_us: Amount = None
    throttled_us: Amount = None
    throttled_periods: Amount = None
    memory_peak_bytes: Amount = None
    memory_baseline_bytes: Amount = None
    memory_growth_bytes: Amount = None
    page_cache_bytes: Amount = None
    disk_read_bytes: Amount = None
    disk_write_bytes: Amount = None
    network_rx_bytes: Amount = None
    network_tx_bytes: Amount = None
    oom_kills: Amount = None


def read_figures(readings: Readings) -> Figures:
    """Everything the readings tell of one invocation."""
    is_2 = readings.source == "cgroup2"
    cpu = _cpu_2(readings) if is_2 else _cpu_1(readings)
    usage_before, usage_after = _usage(readings, readings.before), _usage(readings, readings.after)
    disk = _disk(readings)
    network = _subtract_tables(
        parse_interfaces(readings.before.get("net/dev", "")),
        parse_interfaces(readings.after.get("net/dev", "")),
    )
    throttled = _count(readings, "cpu.stat", "throttled_usec" if is_2 else "throttled_time")
    return Figures(
        cpu_user_us=None if cpu is None else cpu[0],
        cpu_system_us=None if cpu is None else cpu[1],
        throttled_us=throttled if is_2 or throttled is None else throttled // 1000,
        throttled_periods=_count(readings, "cpu.stat", "nr_throttled"),
        memory_peak_bytes=_peak(readings),
        memory_baseline_bytes=usage_before,
        memory_growth_bytes=(
            None if usage_before is None or usage_after is None else usage_after - usage_before
        ),
        page_cache_bytes=_page_cache(
            readings.after.get("memory.stat", ""), "" if is_2 else "total_"
        ),
        disk_read_bytes=None if disk is None else disk[0],
        disk_write_bytes=None if disk is None else disk[1],
        network_rx_bytes=None if network is None else network[0],
        network_tx_bytes=None if network is None else network[1],
        oom_kills=_count(readings, "memory.events" if is_2 else "memory.oom_control", "oom_kill"),
    )


def _cpu_1(readings: Readings) -> Pair:
    """User and system microseconds from cpuacct, else from the process.

    `cpuacct.usage_user` and `_sys` are sampled at the kernel's tick (4 ms at 250 Hz), and
    throttling keeps step with the tick: 578 ms of work were seen as 420. So they only divide the
    exact `cpuacct.usage`, as the kernel itself divides a process's time; where it was not read,
    they are all there is.
    """
    user = _count_single(readings, "cpuacct.usage_user")
    system = _count_single(readings, "cpuacct.usage_sys")
    if user is None or system is None:
        return _cpu_of_process(readings)
    if "cpuacct.usage" not in readings.after:
        return user // 1000, system // 1000
    exact = _count_single(readings, "cpuacct.usage")
    if exact is None:
        return None
    system = exact * system // (user + system) if system else 0
    return (exact - system) // 1000, system // 1000


def _cpu_2(readings: Readings) -> Pair:
    user = _count(readings, "cpu.stat", "user_usec")
    system = _count(readings, "cpu.stat", "system_usec")
    return None if user is None or system is None else (user, system)


def _cpu_of_process(readings: Readings) -> Pair:
    before = parse_ticks(readings.before.get("stat", ""))
    after = parse_ticks(readings.after.get("stat", ""))
    if before is None or after is None:
        return None
    user, system = _subtract(before[0], after[0]), _subtract(before[1], after[1])
    if user is None or system is None:
        return None
    return user * _US_PER_TICK, system * _US_PER_TICK


def _peak(readings: Readings) -> Amount:
    if readings.accuracy is Accuracy.NONE:
        return None
    after = readings.after
    if _is_of_process(readings):
        return _within_bounds(parse_kilobytes(after.get("status", ""), "VmHWM"))
    name = "memory.peak" if readings.source == "cgroup2" else "memory.max_usage_in_bytes"
    return parse_single(after.get(name, ""))


def _usage(readings: Readings, files: dict[str, str]) -> Amount:
    """Memory in use, of the same as the peak: what is compared must be comparable."""
    if _is_of_process(readings):
        return _within_bounds(parse_kilobytes(files.get("status", ""), "VmRSS"))
    name = "memory.current" if readings.source == "cgroup2" else "memory.usage_in_bytes"
    return parse_single(files.get(name, ""))


def _is_of_process(readings: Readings) -> bool:
    return readings.accuracy is Accuracy.PROCESS_EXACT or readings.source == "process"


def _page_cache(text: str, prefix: str) -> Amount:
    """On cgroup v1 only the lines that begin with `total_` include the cgroups below."""
    inactive = parse_field(text, f"{prefix}inactive_file")
    active = parse_field(text, f"{prefix}active_file")
    return None if inactive is None or active is None else _within_bounds(inactive + active)


def _disk(readings: Readings) -> Pair:
    """Bytes read and written of the cgroup, else of the process."""
    name, parse = "blkio.throttle.io_service_bytes", parse_block_1
    if readings.source == "cgroup2":
        name, parse = "io.stat", parse_block_2
    before, after = (
        parse(files[name]) if name in files else None for files in (readings.before, readings.after)
    )
    # Newer kernels keep the v1 counters at nothing until somebody sets a throttle: an empty table
    # does not say that no byte was moved.
    if after or (after is not None and readings.source == "cgroup2"):
        return _subtract_tables(before, after)
    read, written = (_count(readings, "io", f"{way}_bytes:") for way in ("read", "write"))
    return None if read is None or written is None else (read, written)


def _subtract_tables(before: Table | None, after: Table | None) -> Pair:
    """Sums over all rows. A row that is gone took its count with it: then nothing is known."""
    if before is None or after is None or not before.keys() <= after.keys():
        return None
    total_in = total_out = 0
    for name, (bytes_in, bytes_out) in after.items():
        earlier_in, earlier_out = before.get(name, (0, 0))
        if bytes_in < earlier_in or bytes_out < earlier_out:
            return None
        total_in += bytes_in - earlier_in
        total_out += bytes_out - earlier_out
    return (total_in, total_out) if max(total_in, total_out) < _AMOUNT_MAX else None


def _count(readings: Readings, name: str, key: str) -> Amount:
    """How far a counter went that is one line of a file."""
    before, after = readings.before.get(name, ""), readings.after.get(name, "")
    return _subtract(parse_field(before, key), parse_field(after, key))


def _count_single(readings: Readings, name: str) -> Amount:
    """How far a counter went that has a file of its own."""
    before, after = readings.before.get(name, ""), readings.after.get(name, "")
    return _subtract(parse_single(before), parse_single(after))


def _subtract(before: Amount, after: Amount) -> Amount:
    return None if before is None or after is None or after < before else after - before


def _within_bounds(amount: Amount) -> Amount:
    return None if amount is None or amount >= _AMOUNT_MAX else amount
