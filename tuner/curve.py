"""How long a function runs at another memory size: d(m) from every size that was really seen.

Not here: where the time went at one size (`anatomy`), what it costs (`prices`), which size is best
(`choice`).

Each size seen predicts all others. Between two of them the curve goes from the prediction of the
one to that of the other, evenly over log m, so that it passes through both; outside it is the
prediction of the nearest. So every size observed corrects the curve.
"""

from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

from shared.events import Limits
from tuner.anatomy import Anatomy, dissect, find_unstalled_mb
from tuner.anatomy import predict_us as compute_us
from tuner.knee import logarithm
from tuner.samples import SizeSamples, Sums, estimate_run_percentile_us, is_proportional

_RUNS_MIN = 5  # fewer do not correct a size of which there are more
# What predictions missed by on the measured functions, half of them by less (`docs/tuning.md`).
_MODEL_ERROR = 0.07
_FEW_RUNS_ERROR = 0.10


@lru_cache(maxsize=16_384)  # an event changes one anatomy of a function; each is asked many sizes
def predict_us(anatomy: Anatomy, memory_mb: int) -> float:
    """As `anatomy.predict_us`."""
    return compute_us(anatomy, memory_mb)


class Spread(NamedTuple):
    """The 5th and 95th percentile of the runs, over their mean."""

    low: float
    high: float
    runs: int


class Curve(NamedTuple):
    """Through the mean invocations seen; ascending by memory."""

    points: tuple[Anatomy, ...]
    excess_us: float  # by which the mean billed millisecond exceeds the mean duration
    spread: Spread


def estimate_curve(sizes: tuple[SizeSamples, ...], limits: Limits) -> Curve | None:
    """The curve for a function that now runs under `limits`; None before any run was timed.

    From the grants of the same kind as the present one, of warm starts where there are any.
    """
    proportional = is_proportional(limits.memory_mb, limits.cpu_quota_us, limits.cpu_period_us)
    same = [samples for samples in sizes if _is_like(samples, limits, proportional=proportional)]
    usable = _choose_usable(same or list(sizes[-1:]), limits.memory_mb)
    if not usable:
        return None
    points = {samples.memory_mb: _dissect(samples) for samples in usable}
    nearest = min(usable, key=lambda one: (abs(one.memory_mb - limits.memory_mb), one.memory_mb))
    sums = _pick(nearest)
    return Curve(
        points=tuple([points[memory_mb] for memory_mb in sorted(points)]),
        excess_us=max((sums.billed_ms * 1_000 - sums.run_us) / sums.count, 0.0),
        spread=_estimate_spread(sums),
    )


def predict_run_us(curve: Curve, memory_mb: int) -> int:
    """The mean duration at `memory_mb`; at a size seen exactly what was measured there."""
    points = curve.points
    if memory_mb <= points[0].memory_mb:
        return max(round(predict_us(points[0], memory_mb)), 1)
    for low, high in pairwise(points):
        if memory_mb <= high.memory_mb:
            if memory_mb == high.memory_mb:
                return max(round(high.run_us), 1)
            start = _logarithm(low.memory_mb)
            part = (_logarithm(memory_mb) - start) / (_logarithm(high.memory_mb) - start)
            left, right = predict_us(low, memory_mb), predict_us(high, memory_mb)
            return max(round(left + part * (right - left)), 1)
    return max(round(predict_us(points[-1], memory_mb)), 1)


def predict_interval_us(curve: Curve, memory_mb: int) -> tuple[int, int]:
    """Of ten calls at `memory_mb`, nine should last between these two."""
    mean_us = predict_run_us(curve, memory_mb)
    error = 0.0 if is_measured(curve, memory_mb) else _MODEL_ERROR
    if curve.spread.runs < 2 * _RUNS_MIN:
        error += _FEW_RUNS_ERROR
    low_us = round(mean_us * curve.spread.low * (1 - error))
    return low_us, round(mean_us * curve.spread.high * (1 + error))


def is_measured(curve: Curve, memory_mb: int) -> bool:
    """Whether the function really ran at this size, or its CPU does not depend on it."""
    for point in curve.points:  # noqa: SIM110 - asked for every candidate of every event
        if point.memory_mb == memory_mb or not point.period_us:
            return True
    return False


def find_last_useful_mb(curve: Curve) -> int:
    """The size from which on more memory makes nothing faster."""
    return max(find_unstalled_mb(point) for point in curve.points)


@cache
def _logarithm(memory_mb: int) -> float:
    return logarithm(memory_mb)


def _is_like(samples: SizeSamples, limits: Limits, *, proportional: bool) -> bool:
    if proportional:
        return samples.cpu_period_us == limits.cpu_period_us and _is_proportional(samples)
    quota = (samples.cpu_quota_us, samples.cpu_period_us)
    return quota == (limits.cpu_quota_us, limits.cpu_period_us)


def _choose_usable(sizes: list[SizeSamples], memory_mb: int) -> list[SizeSamples]:
    """Warm runs rather than cold ones; a handful of runs only where there is nothing better."""
    sizes = [one for one in sizes if one.warm.count] or sizes
    many = [one for one in sizes if _pick(one).count >= _RUNS_MIN]
    here = [one for one in sizes if one.memory_mb == memory_mb and one not in many]
    return many + here if many or here else sizes


def _pick(samples: SizeSamples) -> Sums:
    return samples.warm if samples.warm.count else samples.cold


def _dissect(samples: SizeSamples) -> Anatomy:
    sums = _pick(samples)
    period_us = samples.cpu_period_us if _is_proportional(samples) else 0
    totals = (sums.count, sums.run_us, sums.cpu_us, sums.throttled_us)
    return _dissect_mean(samples.memory_mb, period_us, totals)


@lru_cache(maxsize=4_096)  # an event changes one size of a function, the others stay
def _dissect_mean(memory_mb: int, period_us: int, totals: tuple[int, int, int, int]) -> Anatomy:
    count, run_us, cpu_us, throttled_us = totals
    return dissect(memory_mb, period_us, run_us / count, (cpu_us / count, throttled_us / count))


def _is_proportional(samples: SizeSamples) -> bool:
    return is_proportional(samples.memory_mb, samples.cpu_quota_us, samples.cpu_period_us)


def _estimate_spread(sums: Sums) -> Spread:
    low, high = (estimate_run_percentile_us(sums, permille) for permille in (50, 950))
    mean = sums.mean_run_us
    return Spread(min(low / mean, 1.0), max(high / mean, 1.0), sums.count)
