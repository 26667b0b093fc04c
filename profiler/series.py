"""The series of a long run as numbers, and what it tells of work in parallel.

Not here: taking the samples (the executor).
"""

from typing import NamedTuple

from profiler.cpu import parse_cpu_of_sample, read_cpu
from profiler.deltas import Amount, put_unchanged_back, subtract, within_bounds
from profiler.parse import parse_kilobytes, parse_single
from shared.events import Readings

_LAG_US = 8_000  # a busy thread's time is counted at the tick: 4 ms at 250 Hz, on two CPUs


class Point(NamedTuple):
    """One moment of a run; None: not known."""

    at_us: int  # since the call
    memory_bytes: Amount
    cpu_us: Amount  # used since the call


def read_points(readings: Readings) -> list[Point]:
    """The moments that can be believed, in order; empty for a short run."""
    series = readings.series
    if series is None:
        return []
    readings = put_unchanged_back(readings)
    start = parse_cpu_of_sample(readings.before.get(series.cpu_file, ""), series.cpu_file)
    points: list[Point] = []
    # Not strict: what was cut off is left out.
    for at_us, memory, cpu in zip(series.at_us, series.memory, series.cpu, strict=False):
        if at_us < 0 or (points and at_us <= points[-1].at_us):
            continue
        used = subtract(start, parse_cpu_of_sample(cpu, series.cpu_file))
        points.append(Point(at_us, _parse_memory(memory, series.memory_file), used))
    return points


def estimate_busy(readings: Readings, run_us: int) -> Amount:
    """Microseconds in which at least one CPU worked for the sandbox, at most; None without series.

    Several threads use more CPU time between two moments than there is time between them: the rest
    ran beside the first. What only shows late for want of a tick is carried over.
    """
    if readings.series is None:
        return None
    cpu = read_cpu(readings)
    moments = [point for point in read_points(readings) if point.cpu_us is not None]
    if cpu is None or not moments:
        return None
    steps = [(point.at_us, point.cpu_us or 0) for point in moments if point.at_us < run_us]
    steps.append((run_us, max(cpu[0] + cpu[1], steps[-1][1] if steps else 0)))
    busy = last_at = last_cpu = carried = 0
    for at_us, cpu_us in steps:
        used = max(cpu_us - last_cpu, 0) + carried
        worked = min(used, at_us - last_at)
        busy += worked
        carried = min(used - worked, _LAG_US)
        last_at, last_cpu = at_us, max(cpu_us, last_cpu)
    return busy


def _parse_memory(text: str, name: str) -> Amount:
    if name == "status":
        return within_bounds(parse_kilobytes(text, "VmRSS"))
    return parse_single(text)
