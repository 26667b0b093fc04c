"""The advice for a function, from its state: put together from small estimators, pure.

Not here: the fold (`state`), the size (`choice`), the duration (`curve`), the money (`savings`).
"""

from shared.events import Advice, Confidence, Execution, FindingKind, Limits, Profile
from tuner.choice import Choice, choose_size, decide_floor_mb
from tuner.curve import Curve, estimate_curve
from tuner.findings import find_all, round_to_mb
from tuner.prices import LAMBDA_X86, PriceBook
from tuner.savings import Savings, estimate_savings
from tuner.state import FunctionState, find_samples
from tuner.tips import Language, Reason, Situation, write_tip

_MEDIUM_COUNT = 5
_HIGH_COUNT = 20


def decide_advice(
    state: FunctionState,
    execution: Execution,
    profile: Profile,
    language: Language = "en",
    book: PriceBook = LAMBDA_X86,
) -> Advice | None:
    """The advice after an invocation that is folded into `state` already; None without limits."""
    limits = execution.limits
    if limits is None:
        return None
    curve = select_curve(state, limits)
    floor_mb = decide_floor_mb(state, limits.memory_mb)
    choice = choose_size(floor_mb, limits.memory_mb, curve, book)
    savings = estimate_savings(state, limits.memory_mb, choice.memory_mb, curve, book)
    findings = find_all(state, limits, execution, profile, choice.memory_mb)
    kinds = frozenset([finding.kind for finding in findings])
    reason = decide_reason(state, limits.memory_mb, floor_mb, choice, kinds)
    return Advice(
        memory_mb=choice.memory_mb,
        memory_mb_min=choice.memory_mb_min,
        memory_mb_max=choice.memory_mb_max,
        savings_percent=savings.percent,
        savings_monthly_usd=savings.monthly_usd,
        duration_ms=savings.run_us / 1000 if savings.run_us else None,
        confidence=decide_confidence(state),
        invocation_count=max(state.peak_count, state.duration_count),
        findings=findings,
        tip=write_tip(_describe(reason, state, limits, choice, savings), language),
        evidence_ids=state.evidence_ids,
    )


def select_curve(state: FunctionState, limits: Limits) -> Curve | None:
    """The curve through what was measured under `limits`, else under the grant seen last."""
    samples = find_samples(state.sizes, limits)
    if samples is None and state.sizes:
        samples = state.sizes[-1]
    return None if samples is None else estimate_curve(samples)


def decide_confidence(state: FunctionState) -> Confidence:
    """By the runs of which both the peak and the duration are known."""
    count = min(state.peak_count, state.duration_count)
    if count >= _HIGH_COUNT:
        return Confidence.HIGH
    return Confidence.MEDIUM if count >= _MEDIUM_COUNT else Confidence.LOW


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
