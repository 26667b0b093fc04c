"""What the advised size saves, in percent of the compute price and in dollars a month.

Not here: the prices (`prices`), the predicted durations (`curve`).
"""

from typing import NamedTuple

from tuner.curve import Curve, predict_run_us
from tuner.prices import PriceBook, price_compute_usd, round_to_billed_us
from tuner.state import FunctionState

_MS_PER_HOUR = 3_600_000
_HOURS_PER_MONTH = 730


class Savings(NamedTuple):
    """Between the present and the advised size. Durations are predicted means, in microseconds."""

    percent: float  # of the compute price, without the request fee; negative: it costs more
    monthly_usd: float | None  # None until there is a call rate
    run_now_us: int
    run_us: int


def estimate_savings(
    state: FunctionState, limit_mb: int, memory_mb: int, curve: Curve | None, book: PriceBook
) -> Savings:
    """What a call at `memory_mb` saves against one at `limit_mb`.

    Without a curve nothing is known: no savings and no durations.
    """
    if curve is None:
        return Savings(0.0, None, 0, 0)
    run_now_us, run_us = predict_run_us(curve, limit_mb), predict_run_us(curve, memory_mb)
    now_usd = price_compute_usd(book, limit_mb, round_to_billed_us(book, run_now_us))
    then_usd = price_compute_usd(book, memory_mb, round_to_billed_us(book, run_us))
    saved_usd = now_usd - then_usd
    calls = estimate_monthly_calls(state)
    return Savings(
        percent=round(saved_usd / now_usd * 100, 1) + 0.0,  # no negative zero
        monthly_usd=None if calls is None else round(saved_usd * calls, 4) + 0.0,
        run_now_us=run_now_us,
        run_us=run_us,
    )


def estimate_monthly_calls(state: FunctionState) -> float | None:
    """Calls a month of 730 hours at the rate seen so far; None until there are two calls.

    The span counts as one hour at least: two calls within a second are somebody trying it out, and
    must not be told as millions a month. So a rate is understated at first, never overstated.
    """
    if state.call_count < 2:
        return None
    span_ms = max(state.last_at_ms - state.first_at_ms, _MS_PER_HOUR)
    return state.call_count * _HOURS_PER_MONTH * _MS_PER_HOUR / span_ms
