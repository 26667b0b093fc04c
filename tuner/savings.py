"""What the advised size saves, in percent of the compute price and in dollars a month.

Not here: the prices (`prices`), the predicted durations (`curve`).
"""

from math import sqrt
from typing import NamedTuple

from tuner.curve import Curve, is_measured, predict_run_us
from tuner.prices import PriceBook, price_compute_usd, price_month_usd
from tuner.state import FunctionState

_MS_PER_HOUR = 3_600_000
_HOURS_PER_MONTH = 730
_MODEL_ERROR = 0.07  # of a duration at a size that was never run (`docs/tuning.md`)
_PERCENT_MAX = 99.9
_RATE_DEVIATIONS = 1.645  # 90 % of a Poisson count


class Savings(NamedTuple):
    """Between the present and the advised size. Durations are predicted means, in microseconds."""

    percent: float  # of the compute price, without the request fee; negative: it costs more
    monthly_usd: float | None  # None until there is a call rate
    run_now_us: int
    run_us: int
    monthly_usd_min: float | None = None
    monthly_usd_max: float | None = None


def estimate_savings(
    state: FunctionState, limit_mb: int, memory_mb: int, curve: Curve | None, book: PriceBook
) -> Savings:
    """What a call at `memory_mb` saves against one at `limit_mb`.

    Without a curve nothing is known: no savings and no durations.
    """
    if curve is None:
        return Savings(0.0, None, 0, 0)
    now_us = estimate_billed_us(state, limit_mb, curve, book)
    then_us = estimate_billed_us(state, memory_mb, curve, book)
    now_usd = price_compute_usd(book, limit_mb, now_us)
    saved_usd = now_usd - price_compute_usd(book, memory_mb, then_us)
    savings = Savings(
        # No negative zero; and nothing is free, however small the rest is.
        percent=min(round(saved_usd / now_usd * 100, 1) + 0.0, _PERCENT_MAX),
        monthly_usd=None,
        run_now_us=predict_run_us(curve, limit_mb),
        run_us=predict_run_us(curve, memory_mb),
    )
    calls = estimate_monthly_calls(state)
    if calls is None:
        return savings
    error = 0.0 if is_measured(curve, memory_mb) else _MODEL_ERROR
    rate_error = min(_RATE_DEVIATIONS / sqrt(state.call_count), 1.0)

    def save_usd(rate: float, longer: float) -> float:
        now = price_month_usd(book, limit_mb, calls * rate, now_us)
        return now - price_month_usd(book, memory_mb, calls * rate, then_us * longer)

    ends = [
        save_usd(rate, longer)
        for rate in (1 - rate_error, 1 + rate_error)
        for longer in (1 - error, 1 + error)
    ]
    return savings._replace(
        monthly_usd=round(save_usd(1.0, 1.0), 4) + 0.0,
        monthly_usd_min=round(min(ends), 4) + 0.0,
        monthly_usd_max=round(max(ends), 4) + 0.0,
    )


def estimate_billed_us(
    state: FunctionState, memory_mb: int, curve: Curve, book: PriceBook
) -> float:
    """What a call is charged on average: the mean of ceilings, and its part of the inits.

    Init runs at full speed at any size, so it takes as long at another.
    """
    run_us = predict_run_us(curve, memory_mb) + (curve.excess_us if book.step_us > 1 else 0.0)
    colds = [samples.cold for samples in state.sizes if samples.cold.count]
    if not (book.init_is_billed and colds):
        return run_us
    init_us = sum([sums.init_us for sums in colds]) / sum([sums.count for sums in colds])
    return run_us + init_us * state.cold_count / state.call_count


def estimate_monthly_calls(state: FunctionState) -> float | None:
    """Calls a month of 730 hours at the rate seen so far; None until there are two calls.

    The span counts as one hour at least: two calls within a second are somebody trying it out, and
    must not be told as millions a month. So a rate is understated at first, never overstated.
    """
    if state.call_count < 2:
        return None
    span_ms = max(state.last_at_ms - state.first_at_ms, _MS_PER_HOUR)
    return state.call_count * _HOURS_PER_MONTH * _MS_PER_HOUR / span_ms
