"""Bytes each way: disks and network.

Not here: how long anybody waited for them (`breakdown`).
"""

from collections.abc import Callable
from functools import partial

from profiler.deltas import AMOUNT_MAX, Amount, Pair, count
from profiler.parse import Table, parse_block_1, parse_block_2, parse_interfaces
from shared.events import Readings


def read_disk(readings: Readings) -> Pair:
    """Bytes read and written.

    The cgroup's on v2. On v1 it does not count what is written through the page cache, and newer
    kernels count nothing there until somebody sets a throttle; the process counts all of its own
    and of the children that it waited for. So the larger of both is the truer.
    """
    if readings.source == "cgroup2":
        return _subtract_files(readings, "io.stat", parse_block_2)
    read, written = (count(readings, "io", f"{way}_bytes:") for way in ("read", "write"))
    if read is None or written is None:
        return None
    of_cgroup = _subtract_files(readings, "blkio.throttle.io_service_bytes", parse_block_1)
    more_read, more_written = of_cgroup or (0, 0)
    return max(read, more_read), max(written, more_written)


def read_network(readings: Readings) -> Pair:
    """Bytes received and sent by all interfaces of the sandbox but the loopback."""
    text_before, text_after = readings.before.get("net/dev", ""), readings.after.get("net/dev", "")
    after = parse_interfaces(text_after)
    before = after if text_before is text_after else parse_interfaces(text_before)
    if before is None or after is None or before.keys() != after.keys():
        return None  # no interface of a sandbox comes or goes
    return _subtract_tables(before, after)


def read_all_network(readings: Readings, name: str) -> Amount:
    """Bytes both ways with the loopback, where the file `name` is /proc/<pid>/net/dev."""
    moved = _subtract_files(readings, name, partial(parse_interfaces, left_out=""))
    return None if moved is None else sum(moved)


def _subtract_files(readings: Readings, name: str, parse: Callable[[str], Table | None]) -> Pair:
    if name not in readings.before or name not in readings.after:
        return None
    text_before, text_after = readings.before[name], readings.after[name]
    after = parse(text_after)
    return _subtract_tables(after if text_before is text_after else parse(text_before), after)


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
    return (total_in, total_out) if max(total_in, total_out) < AMOUNT_MAX else None
