"""The memory size to choose, at or above the floor, by the objective of the policy.

Not here: the floor itself (`floor`), savings, findings and words.
"""

from functools import lru_cache
from typing import NamedTuple

from tuner.curve import (
    Curve,
    find_last_useful_mb,
    is_measured,
    predict_interval_us,
    predict_run_us,
)
from tuner.floor import MEMORY_MB_MAX
from tuner.policy import BALANCED, Policy

STEP_MB = 64
_TOLERANCE = 1.10  # sizes this near to the best are as good
_SAME_SPEED = 1.01
# With three sizes seen the curve is held from both sides: then one that was never run must promise
# 2 % more than one that was. The lowest of many predictions is too low more often than not.
_MEASURED_MIN = 3
_DOUBT = 1.02


class Choice(NamedTuple):
    """The size to recommend, and the range in which the choice hardly matters."""

    memory_mb: int
    memory_mb_min: int
    memory_mb_max: int


class Candidate(NamedTuple):
    """A size, with what is predicted of it: mean duration and memory x billed time."""

    memory_mb: int
    run_us: int
    cost: float


def choose_size(
    floor_mb: int, limit_mb: int, curve: Curve | None, policy: Policy = BALANCED
) -> Choice:
    """The size that scores best; a tie goes to the smaller.

    Without a curve: the limit, if the floor allows it.
    """
    if curve is None:
        memory_mb = max(floor_mb, min(limit_mb, MEMORY_MB_MAX))
        return Choice(memory_mb, floor_mb, memory_mb)
    sizes = list_candidates(floor_mb, limit_mb, curve)
    candidates = [weigh(curve, memory_mb) for memory_mb in sizes]
    scores = score(candidates, curve, policy)
    best = min(scores)
    near = [size for size, one in zip(sizes, scores, strict=True) if one <= best * _TOLERANCE]
    return Choice(sizes[scores.index(best)], near[0], near[-1])


def weigh(curve: Curve, memory_mb: int) -> Candidate:
    """What is predicted of a size. Every book is linear in memory x billed time."""
    run_us = predict_run_us(curve, memory_mb)
    return Candidate(memory_mb, run_us, memory_mb * (run_us + curve.excess_us))


def score(candidates: list[Candidate], curve: Curve, policy: Policy) -> list[float]:
    """How bad each candidate is by the objective; 1 or 2 is the best that can be."""
    doubt = _DOUBT if len(curve.points) >= _MEASURED_MIN else 1.0
    least_cost = min(one.cost for one in candidates)
    least_run = min(one.run_us for one in candidates)
    costs = [
        one.cost / least_cost * (1.0 if is_measured(curve, one.memory_mb) else doubt)
        for one in candidates
    ]
    runs = [one.run_us / least_run for one in candidates]
    match policy.objective:
        case "cost":
            return costs
        case "balanced":
            return [cost + run for cost, run in zip(costs, runs, strict=True)]
        case "speed":
            return _score_speed(costs, runs)
        case "latency":
            late_us = [predict_interval_us(curve, one.memory_mb)[1] for one in candidates]
            ceiling_us = policy.latency_ms_max * 1_000
            if min(late_us) > ceiling_us:  # out of reach: as near to it as can be
                return _score_speed(costs, runs)
            return [
                cost if late <= ceiling_us else cost + max(costs)
                for cost, late in zip(costs, late_us, strict=True)
            ]


def find_step_mb(memory_mb: int) -> int:
    """64, 128, 256, ... MB: an eighth to a quarter of the size."""
    step_mb = STEP_MB
    while memory_mb >= step_mb * 8:
        step_mb *= 2
    return step_mb


@lru_cache(maxsize=1_024)
def _list_steps(floor_mb: int, last_mb: int) -> tuple[int, ...]:
    step_mb = find_step_mb(floor_mb)
    sizes, memory_mb = [floor_mb], (floor_mb // step_mb + 1) * step_mb
    while memory_mb <= last_mb:
        sizes.append(memory_mb)
        memory_mb += find_step_mb(memory_mb)
    return tuple(sizes)


def _score_speed(costs: list[float], runs: list[float]) -> list[float]:
    """The fastest; of those as fast as it the cheapest."""
    worst = max(costs)
    return [
        cost / worst if run <= _SAME_SPEED else run for cost, run in zip(costs, runs, strict=True)
    ]


def list_candidates(floor_mb: int, limit_mb: int, curve: Curve) -> list[int]:
    """The floor, sizes above it, the sizes seen and the present limit, ascending.

    Steps of an eighth to a quarter of the size. They end a quarter above the size that more memory
    makes no faster: from there on only the cost grows, and a quarter more of it is beyond the
    tolerance.
    """
    last_mb = min(max(find_last_useful_mb(curve), floor_mb) * 5 // 4 + STEP_MB, MEMORY_MB_MAX)
    sizes = set(_list_steps(floor_mb, last_mb))
    seen = [point.memory_mb for point in curve.points]
    sizes.update(size for size in (*seen, limit_mb) if floor_mb < size <= MEMORY_MB_MAX)
    return sorted(sizes)
