"""What the tuner remembers of one function: folded from InvocationProfiled, immutable, bounded.

Not here: what is concluded from it. Integer arithmetic only, so that the same events in the same
order give the same bytes on every machine.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from shared.events import Accuracy, InvocationProfiled, Limits, Outcome, Start

MB_PER_CORE = 1769  # as on Lambda
QUOTA_US_MIN = 1_000  # the kernel grants no less
EVIDENCE_MAX = 20
SIZES_MAX = 8  # the least recently seen grant is forgotten first


class Sums(Struct, frozen=True):
    """Totals over invocations that succeeded; divided only when they are used."""

    count: int = 0
    run_us: int = 0
    cpu_us: int = 0
    throttled_us: int = 0


class SizeSamples(Struct, frozen=True, kw_only=True):
    """Durations under one grant of memory and CPU; cold starts apart."""

    memory_mb: int
    cpu_quota_us: int | None
    cpu_period_us: int
    warm: Sums = Sums()
    cold: Sums = Sums()


class FunctionState(Struct, frozen=True, kw_only=True):
    """Everything that advice for a function rests on."""

    call_count: int = 0  # all that ran: these are paid for
    peak_count: int = 0
    duration_count: int = 0
    peak_bytes_max: int = 0
    out_of_memory_mb_max: int = 0  # the largest limit that was not enough; 0: none
    first_at_ms: int = 0
    last_at_ms: int = 0
    sizes: tuple[SizeSamples, ...] = ()  # last seen last
    evidence_ids: tuple[str, ...] = ()  # newest last


EMPTY = FunctionState()


def has_run(event: InvocationProfiled) -> bool:
    """Whether a sandbox was asked to run it. What was rejected says nothing about the function."""
    execution = event.execution
    return (
        execution.limits is not None
        and execution.start is not Start.NONE
        and execution.outcome is not Outcome.REJECTED
    )


def apply(state: FunctionState, event: InvocationProfiled) -> FunctionState:
    """The state after one more invocation; the same state if it did not run."""
    limits = event.execution.limits
    if limits is None or not has_run(event):
        return state
    profile = event.profile
    is_measured = profile.memory_accuracy is not Accuracy.NONE
    is_timed = _is_timed(event, limits)
    at_ms = event.occurred_at_ms
    return FunctionState(
        call_count=state.call_count + 1,
        peak_count=state.peak_count + is_measured,
        duration_count=state.duration_count + is_timed,
        peak_bytes_max=max(state.peak_bytes_max, profile.memory_peak_bytes if is_measured else 0),
        out_of_memory_mb_max=max(
            state.out_of_memory_mb_max, limits.memory_mb if _ran_out_of_memory(event) else 0
        ),
        # Several profilers may have overtaken one another.
        first_at_ms=min(state.first_at_ms, at_ms) if state.call_count else at_ms,
        last_at_ms=max(state.last_at_ms, at_ms) if state.call_count else at_ms,
        sizes=_add_duration(state.sizes, event, limits) if is_timed else state.sizes,
        evidence_ids=(*state.evidence_ids, event.event_id)[-EVIDENCE_MAX:],
    )


def fold(events: Iterable[InvocationProfiled], state: FunctionState = EMPTY) -> FunctionState:
    """The state after all `events` of one function, in their order."""
    for event in events:
        state = apply(state, event)
    return state


def is_proportional(samples: SizeSamples | Limits) -> bool:
    """Whether the CPU quota grows with the memory, as Lambda's does: 1769 MB are one core.

    Limits do not say which policy granted them, so the figures must: the quota of a fixed policy
    meets the proportional one at a single size.
    """
    if samples.cpu_quota_us is None or samples.cpu_period_us <= 0:
        return False
    share_us = max(samples.memory_mb * samples.cpu_period_us // MB_PER_CORE, QUOTA_US_MIN)
    return abs(samples.cpu_quota_us - share_us) <= 1


def _is_timed(event: InvocationProfiled, limits: Limits) -> bool:
    """Whether its duration teaches something.

    A failed run ends early or late; a share of the CPU is only understood with the CPU time.
    """
    if event.execution.outcome is not Outcome.SUCCEEDED or event.execution.phases.run_us <= 0:
        return False
    is_cpu_known = not {"cpu_user_us", "cpu_system_us"}.intersection(event.profile.missing)
    return is_cpu_known or not is_proportional(limits)


def _ran_out_of_memory(event: InvocationProfiled) -> bool:
    """The function itself was killed for memory, or a process that it had started."""
    return event.execution.outcome is Outcome.OUT_OF_MEMORY or event.profile.oom_kills > 0


def _add_duration(
    sizes: tuple[SizeSamples, ...], event: InvocationProfiled, limits: Limits
) -> tuple[SizeSamples, ...]:
    samples = find_samples(sizes, limits) or SizeSamples(
        memory_mb=limits.memory_mb,
        cpu_quota_us=limits.cpu_quota_us,
        cpu_period_us=limits.cpu_period_us,
    )
    others = tuple([other for other in sizes if not _is_same_grant(other, limits)])
    if event.execution.start is Start.COLD:
        samples = replace(samples, cold=_add(samples.cold, event))
    else:
        samples = replace(samples, warm=_add(samples.warm, event))
    return (*others, samples)[-SIZES_MAX:]


def find_samples(sizes: tuple[SizeSamples, ...], limits: Limits) -> SizeSamples | None:
    """The samples that were taken under `limits`."""
    for samples in sizes:
        if _is_same_grant(samples, limits):
            return samples
    return None


def _is_same_grant(samples: SizeSamples, limits: Limits) -> bool:
    return (
        samples.memory_mb == limits.memory_mb
        and samples.cpu_quota_us == limits.cpu_quota_us
        and samples.cpu_period_us == limits.cpu_period_us
    )


def _add(sums: Sums, event: InvocationProfiled) -> Sums:
    profile = event.profile
    return Sums(
        sums.count + 1,
        sums.run_us + event.execution.phases.run_us,
        sums.cpu_us + profile.cpu_user_us + profile.cpu_system_us,
        sums.throttled_us + profile.throttled_us,
    )
