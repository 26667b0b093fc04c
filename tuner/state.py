"""What the tuner remembers of one function: folded from InvocationProfiled, immutable, bounded.

Not here: what is concluded from it. Integers that only add up, and the latest few of what has an
order (event ids, sandboxes, sizes): the same events in the same order give the same bytes on every
machine. It can be saved and resumed (`save`, `resume`).
"""

from collections.abc import Iterable

from msgspec import Struct, msgpack
from msgspec.structs import replace

from shared.events import InvocationProfiled, Limits
from tuner import histogram
from tuner.facts import Facts, has_run, read_facts
from tuner.inputs import InputSums, add_input
from tuner.leak import Track, follow
from tuner.samples import SizeSamples, add_run

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


def apply(state: FunctionState, event: InvocationProfiled) -> FunctionState:
    """The state after one more invocation; the same state if it did not run."""
    return apply_facts(state, read_facts(event)) if has_run(event) else state


def apply_facts(state: FunctionState, facts: Facts) -> FunctionState:
    """The state after one more invocation that ran."""
    peak_bytes, at_ms = facts.peak_bytes, facts.at_ms
    is_measured, is_timed = peak_bytes is not None, facts.is_timed
    return FunctionState(
        call_count=state.call_count + 1,
        cold_count=state.cold_count + facts.is_cold,
        peak_count=state.peak_count + is_measured,
        duration_count=state.duration_count + is_timed,
        out_of_memory_mb_max=max(
            state.out_of_memory_mb_max, facts.memory_mb if facts.ran_out_of_memory else 0
        ),
        # Several profilers may have overtaken one another.
        first_at_ms=min(state.first_at_ms, at_ms) if state.call_count else at_ms,
        last_at_ms=max(state.last_at_ms, at_ms) if state.call_count else at_ms,
        days=state.days if peak_bytes is None else histogram.add(state.days, at_ms, peak_bytes),
        inputs=(
            state.inputs
            if peak_bytes is None or not (is_timed and facts.input_bytes) or facts.is_cold
            else add_input(state.inputs, facts.input_bytes, peak_bytes, facts.run_us)
        ),
        sizes=_add_duration(state.sizes, facts) if is_timed else state.sizes,
        sandboxes=follow(state.sandboxes, facts.sandbox_id, facts.baseline_bytes),
        evidence_ids=(*state.evidence_ids, facts.event_id)[-EVIDENCE_MAX:],
    )


def fold(events: Iterable[InvocationProfiled], state: FunctionState = EMPTY) -> FunctionState:
    """The state after all `events` of one function, in their order."""
    for event in events:
        state = apply(state, event)
    return state


def find_samples(sizes: tuple[SizeSamples, ...], limits: Limits) -> SizeSamples | None:
    """The samples that were taken under `limits`."""
    return _find(sizes, (limits.memory_mb, limits.cpu_quota_us, limits.cpu_period_us))


def _add_duration(sizes: tuple[SizeSamples, ...], facts: Facts) -> tuple[SizeSamples, ...]:
    grant = (facts.memory_mb, facts.cpu_quota_us, facts.cpu_period_us)
    samples = _find(sizes, grant) or SizeSamples(
        memory_mb=facts.memory_mb,
        cpu_quota_us=facts.cpu_quota_us,
        cpu_period_us=facts.cpu_period_us,
    )
    others = tuple([other for other in sizes if other is not samples])
    used = (facts.cpu_us, facts.throttled_us)
    if facts.is_cold:
        cold = add_run(samples.cold, facts.run_us, facts.init_us, used)
        samples = replace(samples, cold=cold)
    else:
        warm = add_run(samples.warm, facts.run_us, facts.init_us, used)
        samples = replace(samples, warm=warm)
    return (*others, samples)[-SIZES_MAX:]


def _find(sizes: tuple[SizeSamples, ...], grant: tuple[int, int | None, int]) -> SizeSamples | None:
    for samples in sizes:
        if (samples.memory_mb, samples.cpu_quota_us, samples.cpu_period_us) == grant:
            return samples
    return None
