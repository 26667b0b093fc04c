"""How long a function runs at another memory size: d(m) from where its time went.

Not here: what that costs (`prices`), which size is best (`choice`).

CPU comes in periods: at m MB a function gets `q = period * m / 1769` of CPU time in each and is
stopped for the rest once that is used up. A burst within q is not slowed at all; a longer one takes
a whole period for every q but the last. Waiting takes as long at any size. What several threads use
at once is seen in the measurement itself: CPU and throttled time together pass the wall clock.
"""

from typing import NamedTuple

from tuner.state import MB_PER_CORE, QUOTA_US_MIN, SizeSamples, Sums, is_proportional

_PARALLEL_PERMILLE_MIN = 1_250  # below, it is the edges of the readings and not a second thread


class Curve(NamedTuple):
    """The mean invocation at the size that it was measured at; times in microseconds.

    `busy + stalled + waiting` is the run. With `period_us` 0 the CPU does not depend on memory.
    """

    memory_mb: int
    period_us: int
    run_us: int
    cpu_us: int
    busy_us: int
    stalled_us: int
    waiting_us: int
    parallel_permille: int = 1_000  # cores that it keeps busy at once, in thousandths


def estimate_curve(samples: SizeSamples) -> Curve:
    """The curve through the mean of `samples`, of warm starts where there are any."""
    sums = samples.warm if samples.warm.count else samples.cold
    assert sums.count, "samples are made with their first duration"
    run_us = max(sums.run_us // sums.count, 1)
    if not is_proportional(samples):
        return Curve(samples.memory_mb, 0, run_us, 0, 0, 0, run_us)
    cpu_us, throttled_us = sums.cpu_us // sums.count, sums.throttled_us // sums.count
    parallel = _estimate_parallelism(sums)
    busy_us = min(cpu_us * 1_000 // parallel, run_us)
    stalled_us = min(throttled_us * 1_000 // parallel, run_us - busy_us)
    return Curve(
        memory_mb=samples.memory_mb,
        period_us=samples.cpu_period_us,
        run_us=run_us,
        cpu_us=cpu_us,
        busy_us=busy_us,
        stalled_us=stalled_us,
        waiting_us=run_us - busy_us - stalled_us,
        parallel_permille=parallel,
    )


def predict_run_us(curve: Curve, memory_mb: int) -> int:
    """The mean duration at `memory_mb`; at the measured size exactly what was measured.

    Careful both ways: a smaller size is predicted as if all CPU time came in one burst, and a
    larger one takes away no more than the throttling that was seen.
    """
    if curve.period_us == 0 or memory_mb == curve.memory_mb:
        return curve.run_us
    quota_us = memory_mb * curve.period_us // MB_PER_CORE
    quota_us = max(quota_us, QUOTA_US_MIN)
    burst_us = stretch_burst(curve.cpu_us, quota_us, curve.period_us, curve.parallel_permille)
    stretched_us, stalled_us = burst_us - curve.busy_us, curve.stalled_us
    # Nothing but the larger stall for a smaller size, nothing but the smaller for a larger.
    if (stretched_us > stalled_us) == (memory_mb < curve.memory_mb):
        stalled_us = max(0, stretched_us)
    return max(curve.run_us - curve.stalled_us + stalled_us, 1)


def stretch_burst(cpu_us: int, quota_us: int, period_us: int, parallel_permille: int = 1000) -> int:
    """Wall time of `cpu_us` of CPU time without a pause, at `quota_us` in each `period_us`."""
    if cpu_us <= quota_us or quota_us * 1_000 >= period_us * parallel_permille:
        return cpu_us * 1_000 // parallel_permille
    full_periods = (cpu_us - 1) // quota_us
    rest_us = cpu_us - full_periods * quota_us
    return full_periods * period_us + rest_us * 1_000 // parallel_permille


def find_unstalled_mb(curve: Curve) -> int:
    """The smallest size from which on more memory makes nothing faster."""
    if curve.period_us == 0:
        return 0
    needed_us = min(curve.cpu_us, curve.period_us * curve.parallel_permille // 1_000)
    unstalled_mb = -(-needed_us * MB_PER_CORE // curve.period_us)
    return unstalled_mb if curve.stalled_us else min(unstalled_mb, curve.memory_mb)


def _estimate_parallelism(sums: Sums) -> int:
    """Each of n busy threads is either on its CPU or throttled there: both add up to n runs."""
    permille = (sums.cpu_us + sums.throttled_us) * 1_000 // max(sums.run_us, 1)
    return permille if permille >= _PARALLEL_PERMILLE_MIN else 1_000
