"""What the tuner remembers of one function: folded from InvocationProfiled, immutable, bounded.

Not here: what is concluded from it. Integers that only add up, and the latest few of what has an
order (event ids, sandboxes, sizes): the same events in the same order give the same bytes on every
machine. It can be saved and resumed (`save`, `resume`).
"""

from collections.abc import Iterable

from msgspec import Struct, msgpack
from msgspec.structs import replace

from shared.events import Accuracy, InvocationProfiled, Limits, Outcome, Start
from tuner import histogram
from tuner.inputs import InputSums, add_input
from tuner.leak import Track, follow
from tuner.samples import SizeSamples, add_run, is_proportional

EVIDENCE_MAX = 20
SIZES_MAX = 8  # the least recently seen grant is forgotten first


class FunctionState(Struct, frozen=True, kw_only=True):
    """Everything that advice for a function rests on."""

    call_count: int = 0  # all that ran: these are paid for
    cold_count: int = 0
    peak_count: int = 0
    duration_count: int = 0
    out_of_memory_mb_max: int = 0  # the largest limit that was not enough; 0: none. For good
    first_at_ms: int = 0
    last_at_ms: int = 0
    days: histogram.Days = ()  # memory peaks
    inputs: InputSums = InputSums()
    sizes: tuple[SizeSamples, ...] = ()  # last seen last
    sandboxes: tuple[Track, ...] = ()
    evidence_ids: tuple[str, ...] = ()  # newest last

    @property
    def peak_bytes_max(self) -> int:
        """The highest peak of the days that are remembered."""
        return histogram.find_peak_bytes(self.days)


EMPTY = FunctionState()

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(FunctionState)


def save(state: FunctionState) -> bytes:
    """The state as bytes; equal states give equal bytes."""
    return _encoder.encode(state)


def resume(saved: bytes) -> FunctionState:
    """The state that was saved."""
    return _decoder.decode(saved)


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
    execution, profile = event.execution, event.profile
    limits = execution.limits
    if limits is None or not has_run(event):
        return state
    is_measured = profile.memory_accuracy is not Accuracy.NONE
    is_timed = _is_timed(event, limits)
    at_ms = event.occurred_at_ms
    peak_bytes = profile.memory_peak_bytes
    failed_mb = limits.memory_mb if _ran_out_of_memory(event) else 0
    return FunctionState(
        call_count=state.call_count + 1,
        cold_count=state.cold_count + (execution.start is Start.COLD),
        peak_count=state.peak_count + is_measured,
        duration_count=state.duration_count + is_timed,
        out_of_memory_mb_max=max(state.out_of_memory_mb_max, failed_mb),
        # Several profilers may have overtaken one another.
        first_at_ms=min(state.first_at_ms, at_ms) if state.call_count else at_ms,
        last_at_ms=max(state.last_at_ms, at_ms) if state.call_count else at_ms,
        days=histogram.add(state.days, at_ms, peak_bytes) if is_measured else state.days,
        inputs=(
            add_input(state.inputs, execution.input_bytes, peak_bytes, execution.phases.run_us)
            if is_timed and is_measured and execution.input_bytes and execution.start is Start.WARM
            else state.inputs
        ),
        sizes=_add_duration(state.sizes, event, limits) if is_timed else state.sizes,
        sandboxes=follow(state.sandboxes, execution.sandbox_id, profile.memory_baseline_bytes),
        evidence_ids=(*state.evidence_ids, event.event_id)[-EVIDENCE_MAX:],
    )


def fold(events: Iterable[InvocationProfiled], state: FunctionState = EMPTY) -> FunctionState:
    """The state after all `events` of one function, in their order."""
    for event in events:
        state = apply(state, event)
    return state


def find_samples(sizes: tuple[SizeSamples, ...], limits: Limits) -> SizeSamples | None:
    """The samples that were taken under `limits`."""
    for samples in sizes:
        if _is_same_grant(samples, limits):
            return samples
    return None


def _is_timed(event: InvocationProfiled, limits: Limits) -> bool:
    """Whether its duration teaches something.

    A failed run ends early or late; a share of the CPU is only understood with the CPU time.
    """
    if event.execution.outcome is not Outcome.SUCCEEDED or event.execution.phases.run_us <= 0:
        return False
    is_cpu_known = not {"cpu_user_us", "cpu_system_us"}.intersection(event.profile.missing)
    return is_cpu_known or not is_proportional(
        limits.memory_mb, limits.cpu_quota_us, limits.cpu_period_us
    )


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
    phases, profile = event.execution.phases, event.profile
    used = (profile.cpu_user_us + profile.cpu_system_us, profile.throttled_us)
    if event.execution.start is Start.COLD:
        cold = add_run(samples.cold, phases.run_us, phases.init_us, used)
        samples = replace(samples, cold=cold)
    else:
        warm = add_run(samples.warm, phases.run_us, phases.init_us, used)
        samples = replace(samples, warm=warm)
    return (*others, samples)[-SIZES_MAX:]


def _is_same_grant(samples: SizeSamples, limits: Limits) -> bool:
    return (
        samples.memory_mb == limits.memory_mb
        and samples.cpu_quota_us == limits.cpu_quota_us
        and samples.cpu_period_us == limits.cpu_period_us
    )
