"""The memory size to choose: the floor that memory demands, and what is best above it.

Not here: savings, findings and words (`recommendation`, `findings`, `tips`).
"""

from typing import NamedTuple

from tuner.curve import Curve, find_unstalled_mb, predict_run_us
from tuner.prices import PriceBook, round_to_billed_us
from tuner.state import FunctionState

MEMORY_MB_MIN = 128
MEMORY_MB_MAX = 10_240
STEP_MB = 64
MEBIBYTE = 1 << 20

# Measured: a limit of 1.35 x the peak slows nothing down, 1.1-1.2 x did by up to 2.65 x.
_MARGIN_PERCENT = 135
# After an out of memory the true need is unknown; the bump is that of Kubernetes' recommender.
_BUMP_PERCENT = 120
_BUMP_MB = 100
_TOLERANCE_PERCENT = 110  # sizes this near to the best are as good


class Choice(NamedTuple):
    """The size to recommend, and the range in which the choice hardly matters."""

    memory_mb: int
    memory_mb_min: int
    memory_mb_max: int


def decide_floor_mb(state: FunctionState, limit_mb: int) -> int:
    """The least memory that may be recommended.

    Without any measured peak nothing below the present limit is known to be safe.
    """
    floor_mb = MEMORY_MB_MIN if state.peak_count else max(limit_mb, MEMORY_MB_MIN)
    floor_mb = max(floor_mb, _round_up(state.peak_bytes_max * _MARGIN_PERCENT, 100 * MEBIBYTE))
    if state.out_of_memory_mb_max:
        failed_mb = state.out_of_memory_mb_max
        floor_mb = max(floor_mb, _round_up(failed_mb * _BUMP_PERCENT, 100), failed_mb + _BUMP_MB)
    return min(floor_mb, MEMORY_MB_MAX)


def choose_size(floor_mb: int, limit_mb: int, curve: Curve | None, book: PriceBook) -> Choice:
    """The size that weighs cost and duration best, each relative to the best there is.

    Half and half; a tie goes to the smaller. Without a curve: the limit, if the floor allows it.
    """
    if curve is None:
        memory_mb = max(floor_mb, min(limit_mb, MEMORY_MB_MAX))
        return Choice(memory_mb, floor_mb, memory_mb)
    sizes = list_candidates(floor_mb, limit_mb, curve)
    runs_us = [predict_run_us(curve, size) for size in sizes]
    # Memory x time is the compute price of every linear book, and an exact integer.
    costs = [size * round_to_billed_us(book, run) for size, run in zip(sizes, runs_us, strict=True)]
    least_run_us, least_cost = min(runs_us), min(costs)
    # cost / least_cost + run / least_run, times both of the divisors.
    scores = [
        cost * least_run_us + run * least_cost for cost, run in zip(costs, runs_us, strict=True)
    ]
    best = min(scores)
    near = [
        size
        for size, score in zip(sizes, scores, strict=True)
        if score * 100 <= best * _TOLERANCE_PERCENT
    ]
    return Choice(sizes[scores.index(best)], near[0], near[-1])


def list_candidates(floor_mb: int, limit_mb: int, curve: Curve) -> list[int]:
    """The floor, the multiples of 64 MB above it, and the present limit, ascending.

    They end a quarter above the size that more memory makes no faster: from there on only the cost
    grows, and a quarter more of it is beyond the tolerance.
    """
    last_mb = min(max(find_unstalled_mb(curve), floor_mb) * 5 // 4 + STEP_MB, MEMORY_MB_MAX)
    sizes = [floor_mb, *range((floor_mb // STEP_MB + 1) * STEP_MB, last_mb + 1, STEP_MB)]
    if floor_mb < limit_mb <= MEMORY_MB_MAX and limit_mb not in sizes:
        sizes.append(limit_mb)
        sizes.sort()
    return sizes


def _round_up(numerator: int, divisor: int) -> int:
    return -(-numerator // divisor)
