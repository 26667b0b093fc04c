"""The tuner as a stage: one InvocationProfiled in, one InvocationTuned out.

Not here: the process that leads and restores (`process`). No clock, no randomness: the same events
give the same bytes.
"""

from msgspec import msgpack

from shared.events import (
    Anything,
    DeadLettered,
    InvocationFinished,
    InvocationProfiled,
    InvocationRejected,
    InvocationRequested,
    InvocationTuned,
    ResultPublished,
    SandboxStarted,
    SandboxStopped,
    derive_event_id,
)
from tuner.adviser import ADVISER, Adviser
from tuner.facts import has_run
from tuner.recommendation import decide_advice
from tuner.state import EMPTY, FunctionState, apply

_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(dict[str, FunctionState])


class Tuner:
    """What is known of every function; the only mutable thing here. One thread owns it."""

    def __init__(self, adviser: Adviser = ADVISER) -> None:
        self._adviser = adviser
        self._states: dict[str, FunctionState] = {}

    def handle(self, event: Anything) -> tuple[InvocationTuned, ...]:
        """Fold the event in and advise.

        Everything is computed before the state is replaced: an exception leaves it whole.
        Raises TypeError for an event of another stream: it is buried, with its bytes.
        """
        profiled = _accept(event)
        state = apply(self.state_of(profiled.execution.function_id), profiled)
        advice = (
            decide_advice(state, profiled.execution, profiled.profile, self._adviser)
            if has_run(profiled)
            else None
        )
        tuned = InvocationTuned(
            event_id=derive_event_id(profiled.event_id, "InvocationTuned"),
            invocation_id=profiled.invocation_id,
            causation_id=profiled.event_id,
            occurred_at_ms=profiled.occurred_at_ms,
            execution=profiled.execution,
            profile=profiled.profile,
            advice=advice,
        )
        self._replace(profiled, state)
        return (tuned,)

    def restore(self, event: Anything) -> None:
        """Fold in an event that was handled before; what was buried then is passed over now."""
        if isinstance(event, InvocationProfiled):
            self._replace(event, apply(self.state_of(event.execution.function_id), event))

    def state_of(self, function_id: str) -> FunctionState:
        """What is known of a function."""
        return self._states.get(function_id, EMPTY)

    def save(self) -> bytes:
        """Everything that is known, as bytes; equal knowledge gives equal bytes."""
        return _encoder.encode(dict(sorted(self._states.items())))

    def resume(self, saved: bytes) -> None:
        """Know what was saved, and nothing else."""
        self._states = _decoder.decode(saved)

    def _replace(self, event: InvocationProfiled, state: FunctionState) -> None:
        if state is not EMPTY:
            self._states[event.execution.function_id] = state


def _accept(event: Anything) -> InvocationProfiled:
    match event:
        case InvocationProfiled():
            return event
        case (
            InvocationRequested()
            | InvocationRejected()
            | SandboxStarted()
            | SandboxStopped()
            | InvocationFinished()
            | InvocationTuned()
            | ResultPublished()
            | DeadLettered()
        ):
            raise TypeError(f"{type(event).__name__} does not belong to the stream profiles")
