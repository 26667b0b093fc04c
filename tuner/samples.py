"""Durations under one grant of memory and CPU: totals and a histogram, integers that add up.

Not here: what they say about other sizes (`anatomy`, `curve`).
"""

from bisect import bisect_left

from msgspec import Struct

from tuner.bandwidth import MB_PER_CORE, QUOTA_US_MIN
from tuner.histogram import Counts, add_count, merge_counts

_RUN_US_MIN, _RUN_US_MAX = 64, 1_000_000_000


def _make_bounds() -> tuple[int, ...]:
    """The upper ends of the buckets in microseconds, each 1/16 above the last."""
    bounds = [_RUN_US_MIN]
    while bounds[-1] < _RUN_US_MAX:
        bounds.append(bounds[-1] * 17 // 16)
    return tuple(bounds)


BOUNDS_US = _make_bounds()


class Sums(Struct, frozen=True, array_like=True):
    """Totals over invocations that succeeded; divided only when they are used."""

    count: int = 0
    run_us: int = 0
    billed_ms: int = 0  # each run rounded up to a whole millisecond: a mean of ceilings
    cpu_us: int = 0
    throttled_us: int = 0
    init_us: int = 0
    runs: Counts = ()  # by bucket of BOUNDS_US

    @property
    def mean_run_us(self) -> float:
        """The mean duration."""
        return self.run_us / self.count


class SizeSamples(Struct, frozen=True, kw_only=True):
    """What was timed under one grant; cold starts apart."""

    memory_mb: int
    cpu_quota_us: int | None
    cpu_period_us: int
    warm: Sums = Sums()
    cold: Sums = Sums()


def add_run(sums: Sums, run_us: int, init_us: int, used: tuple[int, int]) -> Sums:
    """One more run, with its CPU and throttled time (`used`)."""
    bucket = bisect_left(BOUNDS_US, run_us, 0, len(BOUNDS_US) - 1)
    return Sums(
        sums.count + 1,
        sums.run_us + run_us,
        sums.billed_ms - (-run_us // 1_000),
        sums.cpu_us + used[0],
        sums.throttled_us + used[1],
        sums.init_us + init_us,
        add_count(sums.runs, bucket, 1),
    )


def merge_sums(one: Sums, other: Sums) -> Sums:
    """Both together."""
    return Sums(
        one.count + other.count,
        one.run_us + other.run_us,
        one.billed_ms + other.billed_ms,
        one.cpu_us + other.cpu_us,
        one.throttled_us + other.throttled_us,
        one.init_us + other.init_us,
        merge_counts(one.runs, other.runs),
    )


def estimate_run_percentile_us(sums: Sums, permille: int) -> float:
    """The duration below which `permille` of the runs lie; within a bucket, evenly spread."""
    wanted, below = sums.count * permille / 1_000, 0
    for bucket, count in sums.runs:
        if below + count >= wanted:
            low = BOUNDS_US[bucket - 1] if bucket else 0
            return low + (BOUNDS_US[bucket] - low) * (wanted - below) / count
        below += count
    return float(BOUNDS_US[sums.runs[-1][0]]) if sums.runs else 0.0


def is_proportional(memory_mb: int, quota_us: int | None, period_us: int) -> bool:
    """Whether the CPU quota grows with the memory, as Lambda's does: 1769 MB are one core.

    Limits do not say which policy granted them, so the figures must: the quota of a fixed policy
    meets the proportional one at a single size.
    """
    if quota_us is None or period_us <= 0:
        return False
    share_us = max(memory_mb * period_us // MB_PER_CORE, QUOTA_US_MIN)
    return abs(quota_us - share_us) <= 1
