"""The advice for a function, from its state: put together from small estimators, pure.

Not here: the fold (`state`), the size (`choice`), the duration (`curve`), the money (`savings`).
"""

from shared.events import Advice, Confidence, Execution, FindingKind, Limits, Profile
from tuner.adviser import ADVISER, Adviser
from tuner.choice import Choice, choose_size
from tuner.curve import Curve, estimate_curve, predict_interval_us
from tuner.findings import Subject, find_all, round_to_mb
from tuner.floor import decide_floor_mb
from tuner.savings import Savings, estimate_savings
from tuner.state import FunctionState
from tuner.tips import Reason, Situation, write_tip

_MEDIUM_COUNT = 5
_HIGH_COUNT = 20
_SPREAD_TO_DEVIATION = 3.29  # 5th to 95th percentile of a normal distribution
_MEAN_ERROR_MAX = 0.10  # of the mean duration, 90 %; more and it is not known firmly


def decide_advice(
    state: FunctionState, execution: Execution, profile: Profile, adviser: Adviser = ADVISER
) -> Advice | None:
    """The advice after an invocation that is folded into `state` already; None without limits."""
    limits = execution.limits
    if limits is None:
        return None
    curve = estimate_curve(state.sizes, limits)
    floor_mb = decide_floor_mb(state, limits.memory_mb, adviser.policy)
    choice = choose_size(floor_mb, limits.memory_mb, curve, adviser.policy)
    savings = estimate_savings(state, limits.memory_mb, choice.memory_mb, curve, adviser.book)
    findings = find_all(Subject(state, limits, execution, profile, choice.memory_mb))
    kinds = frozenset([finding.kind for finding in findings])
    reason = decide_reason(state, limits.memory_mb, floor_mb, choice, kinds)
    situation = _describe(reason, state, limits, choice, savings)
    interval = predict_interval_us(curve, choice.memory_mb) if curve else None
    return Advice(
        memory_mb=choice.memory_mb,
        memory_mb_min=choice.memory_mb_min,
        memory_mb_max=choice.memory_mb_max,
        savings_percent=savings.percent,
        savings_monthly_usd=savings.monthly_usd,
        duration_ms=savings.run_us / 1000 if savings.run_us else None,
        confidence=decide_confidence(state, curve),
        invocation_count=max(state.peak_count, state.duration_count),
        findings=findings,
        tip=write_tip(situation, adviser.language),
        evidence_ids=state.evidence_ids,
        duration_ms_min=interval[0] / 1000 if interval else None,
        duration_ms_max=interval[1] / 1000 if interval else None,
        savings_monthly_usd_min=savings.monthly_usd_min,
        savings_monthly_usd_max=savings.monthly_usd_max,
        objective=adviser.policy.objective,
        price_book=adviser.book.name,
    )


def decide_confidence(state: FunctionState, curve: Curve | None) -> Confidence:
    """By the runs of which both the peak and the duration are known, and by their spread."""
    count = min(state.peak_count, state.duration_count)
    if count < _MEDIUM_COUNT or curve is None:
        return Confidence.LOW
    spread = curve.spread
    deviation = (spread.high - spread.low) / _SPREAD_TO_DEVIATION
    # The mean's error falls with the root of the count; squared, no root is needed.
    is_firm = (1.645 * deviation) ** 2 <= _MEAN_ERROR_MAX**2 * max(spread.runs, 1)
    return Confidence.HIGH if count >= _HIGH_COUNT and is_firm else Confidence.MEDIUM


def decide_reason(
    state: FunctionState,
    limit_mb: int,
    floor_mb: int,
    choice: Choice,
    kinds: frozenset[FindingKind],
) -> Reason:
    """Why `choice` differs from the present limit, or does not."""
    if choice.memory_mb > limit_mb:
        return _decide_reason_to_grow(state, limit_mb, floor_mb, kinds)
    if choice.memory_mb < limit_mb:
        return Reason.WASTE if FindingKind.RESOURCE_WASTE in kinds else Reason.SMALLER
    if FindingKind.MEMORY_RISK in kinds:
        return Reason.LARGEST
    if not state.peak_count:
        return Reason.NO_PEAK
    return Reason.FITS if state.duration_count else Reason.NO_DURATION


def _decide_reason_to_grow(
    state: FunctionState, limit_mb: int, floor_mb: int, kinds: frozenset[FindingKind]
) -> Reason:
    if state.out_of_memory_mb_max >= limit_mb:
        return Reason.OUT_OF_MEMORY
    if FindingKind.MEMORY_RISK in kinds:
        return Reason.MEMORY_RISK
    return Reason.TIGHT if floor_mb > limit_mb else Reason.FASTER


def _describe(
    reason: Reason, state: FunctionState, limits: Limits, choice: Choice, savings: Savings
) -> Situation:
    return Situation(
        reason=reason,
        limit_mb=limits.memory_mb,
        peak_mb=round_to_mb(state.peak_bytes_max),
        memory_mb=choice.memory_mb,
        savings_percent=savings.percent,
        monthly_usd=savings.monthly_usd,
        run_now_us=savings.run_now_us,
        run_us=savings.run_us,
        failed_mb=state.out_of_memory_mb_max,
    )
