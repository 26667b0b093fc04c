"""The report of one function: its cost and duration over memory, what was seen, the advice.

Not here: how it is drawn (`report_svg`, `report_text`). A value that JSON can carry as it is.
"""

from msgspec import Struct
from msgspec.structs import replace

from shared.events import Limits
from tuner.adviser import Adviser
from tuner.choice import Choice, choose_size
from tuner.curve import Curve, estimate_curve, predict_interval_us, predict_run_us
from tuner.floor import MEBIBYTE, MEMORY_MB_MAX, decide_floor_mb
from tuner.prices import price_invocation_usd
from tuner.recommendation import decide_confidence
from tuner.savings import estimate_billed_us, estimate_savings
from tuner.state import FunctionState

_SIZES = (128, 192, 256, 384, 512, 768, 1_024, 1_280, 1_536, 1_769, 2_048, 2_560, 3_008)
_MILLION = 1_000_000


class Point(Struct, frozen=True, kw_only=True):
    """A size with what is predicted of it, or what was measured there."""

    memory_mb: int
    duration_ms: float  # mean
    duration_ms_min: float  # of ten calls nine last between these
    duration_ms_max: float
    usd_per_million: float  # invocations, with the request fee
    runs: int = 0  # 0: predicted


class Report(Struct, frozen=True, kw_only=True):
    """Everything that the picture shows."""

    function_id: str
    invocations: int
    limit_mb: int
    peak_mb: float
    floor_mb: int
    memory_mb: int
    memory_mb_min: int
    memory_mb_max: int
    confidence: str
    savings_percent: float
    savings_monthly_usd: float | None
    savings_monthly_usd_min: float | None
    savings_monthly_usd_max: float | None
    objective: str
    price_book: str
    curve: tuple[Point, ...]
    seen: tuple[Point, ...]


def make_report(
    function_id: str, state: FunctionState, limits: Limits, adviser: Adviser
) -> Report | None:
    """The report of a function that now runs under `limits`; None before any run was timed."""
    curve = estimate_curve(state.sizes, limits)
    if curve is None:
        return None
    floor_mb = decide_floor_mb(state, limits.memory_mb, adviser.policy)
    choice = choose_size(floor_mb, limits.memory_mb, curve, adviser.policy)
    savings = estimate_savings(state, limits.memory_mb, choice.memory_mb, curve, adviser.book)
    return Report(
        function_id=function_id,
        invocations=state.call_count,
        limit_mb=limits.memory_mb,
        peak_mb=round(state.peak_bytes_max / MEBIBYTE, 1),
        floor_mb=floor_mb,
        memory_mb=choice.memory_mb,
        memory_mb_min=choice.memory_mb_min,
        memory_mb_max=choice.memory_mb_max,
        confidence=decide_confidence(state, curve).value,
        savings_percent=savings.percent,
        savings_monthly_usd=savings.monthly_usd,
        savings_monthly_usd_min=savings.monthly_usd_min,
        savings_monthly_usd_max=savings.monthly_usd_max,
        objective=adviser.policy.objective,
        price_book=adviser.book.name,
        curve=tuple(
            _predict(size, state, curve, adviser) for size in _list_sizes(choice, limits, curve)
        ),
        seen=_list_seen(state, curve, adviser),
    )


def _list_sizes(choice: Choice, limits: Limits, curve: Curve) -> list[int]:
    seen = [point.memory_mb for point in curve.points]
    last = max(2_048, *seen, choice.memory_mb, limits.memory_mb)
    sizes = {size for size in _SIZES if size <= last}
    return sorted({*sizes, *seen, choice.memory_mb, min(limits.memory_mb, MEMORY_MB_MAX)})


def _predict(memory_mb: int, state: FunctionState, curve: Curve, adviser: Adviser) -> Point:
    low_us, high_us = predict_interval_us(curve, memory_mb)
    billed_us = estimate_billed_us(state, memory_mb, curve, adviser.book)
    usd = price_invocation_usd(adviser.book, memory_mb, billed_us)
    return Point(
        memory_mb=memory_mb,
        duration_ms=predict_run_us(curve, memory_mb) / 1_000,
        duration_ms_min=low_us / 1_000,
        duration_ms_max=high_us / 1_000,
        usd_per_million=round(usd * _MILLION, 4),
    )


def _list_seen(state: FunctionState, curve: Curve, adviser: Adviser) -> tuple[Point, ...]:
    """The sizes that the curve passes through."""
    points = []
    by_size = {samples.memory_mb: samples for samples in state.sizes}
    for anatomy in curve.points:
        samples = by_size[anatomy.memory_mb]
        sums = samples.warm if samples.warm.count else samples.cold
        point = _predict(anatomy.memory_mb, state, curve, adviser)
        points.append(replace(point, runs=sums.count))
    return tuple(points)
