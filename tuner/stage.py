"""The tuner as a stage: one InvocationProfiled in, one InvocationTuned out, and perhaps a change.

Not here: the process that leads and restores (`process`). No clock, no randomness: the same events
give the same bytes.
"""

from msgspec import Struct, msgpack

from shared.events import (
    Advice,
    Anything,
    CostModelRefreshed,
    DeadLettered,
    InvocationFinished,
    InvocationProfiled,
    InvocationRejected,
    InvocationRequested,
    InvocationTuned,
    MemoryLimitChanged,
    ResultPublished,
    SandboxStarted,
    SandboxStopped,
    derive_event_id,
)
from tuner.adviser import ADVISER, Adviser
from tuner.control import RULES, UNTOUCHED, Controlled, Rules, control
from tuner.facts import has_run, read_facts
from tuner.recommendation import decide_advice
from tuner.state import EMPTY, FunctionState, apply


class _Saved(Struct, frozen=True, array_like=True):
    states: dict[str, FunctionState]
    controls: dict[str, Controlled]


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(_Saved)


class Tuner:
    """What is known of every function; the only mutable thing here. One thread owns it."""

    def __init__(self, adviser: Adviser = ADVISER, rules: Rules = RULES) -> None:
        self._adviser = adviser
        self._rules = rules
        self._states: dict[str, FunctionState] = {}
        self._controls: dict[str, Controlled] = {}

    def handle(self, event: Anything) -> tuple[InvocationTuned, *tuple[MemoryLimitChanged, ...]]:
        """Fold the event in, advise, and act where the function asked for it.

        Everything is computed before the state is replaced: an exception leaves it whole.
        Raises TypeError for an event of another stream: it is buried, with its bytes.
        """
        profiled = _accept(event)
        execution, profile = profiled.execution, profiled.profile
        state = apply(self.state_of(execution.function_id), profiled)
        advice = (
            decide_advice(state, execution, profile, self._adviser) if has_run(profiled) else None
        )
        tuned = InvocationTuned(
            event_id=derive_event_id(profiled.event_id, "InvocationTuned"),
            invocation_id=profiled.invocation_id,
            causation_id=profiled.event_id,
            occurred_at_ms=profiled.occurred_at_ms,
            execution=execution,
            profile=profile,
            advice=advice,
        )
        changed = self._control(profiled, advice) if execution.memory_auto and advice else None
        self._replace(profiled, state)
        return (tuned,) if changed is None else (tuned, changed)

    def restore(self, event: Anything) -> None:
        """Fold in an event that was handled before; what was buried then is passed over now."""
        if not isinstance(event, InvocationProfiled):
            return
        if event.execution.memory_auto:  # what was changed then depends on what was advised then
            self.handle(event)
        else:
            self._replace(event, apply(self.state_of(event.execution.function_id), event))

    def state_of(self, function_id: str) -> FunctionState:
        """What is known of a function."""
        return self._states.get(function_id, EMPTY)

    def know(self, function_id: str, state: FunctionState) -> None:
        """Go on with a state that was folded elsewhere."""
        self._states[function_id] = state

    def save(self) -> bytes:
        """Everything that is known, as bytes; equal knowledge gives equal bytes."""
        states, controls = sorted(self._states.items()), sorted(self._controls.items())
        return _encoder.encode(_Saved(dict(states), dict(controls)))

    def resume(self, saved: bytes) -> None:
        """Know what was saved, and nothing else."""
        known = _decoder.decode(saved)
        self._states, self._controls = known.states, known.controls

    def _control(self, profiled: InvocationProfiled, advice: Advice) -> MemoryLimitChanged | None:
        """What is changed now; the state of control is replaced."""
        function_id = profiled.execution.function_id
        controlled = self._controls.get(function_id, UNTOUCHED)
        facts = read_facts(profiled)
        controlled, decision = control(controlled, facts, advice, self._rules)
        self._controls[function_id] = controlled
        if decision is None:
            return None
        watch = controlled.watch
        return MemoryLimitChanged(
            event_id=derive_event_id(profiled.event_id, "MemoryLimitChanged"),
            invocation_id=profiled.invocation_id,
            causation_id=profiled.event_id,
            occurred_at_ms=profiled.occurred_at_ms,
            function_id=function_id,
            from_mb=decision.from_mb,
            to_mb=decision.to_mb,
            action=decision.action.value,
            reason=decision.reason,
            savings_percent=advice.savings_percent if watch else 0.0,
            duration_ms_max=watch.run_us_max / 1_000 if watch else None,
        )

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
            | MemoryLimitChanged()
            | CostModelRefreshed()
            | ResultPublished()
            | DeadLettered()
        ):
            raise TypeError(f"{type(event).__name__} does not belong to the stream profiles")
