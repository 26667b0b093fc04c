"""The profiler as a stage: one InvocationFinished in, one InvocationProfiled out. Pure."""

from profiler.profile import estimate_profile
from shared.events import (
    Anything,
    CostModelRefreshed,
    DeadLettered,
    Event,
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


def handle(event: Anything) -> tuple[Event, ...]:
    """What the profiler makes of an entry of `executions`.

    Raises TypeError for an event of another stream: it is buried, with its bytes.
    """
    match event:
        case InvocationFinished():
            return (_profile(event),)
        case SandboxStarted() | SandboxStopped():
            return ()  # they are there for people and for replay
        case (
            InvocationRequested()
            | InvocationRejected()
            | InvocationProfiled()
            | InvocationTuned()
            | MemoryLimitChanged()
            | CostModelRefreshed()
            | ResultPublished()
            | DeadLettered()
        ):
            raise TypeError(f"{type(event).__name__} does not belong to the stream executions")


def _profile(event: InvocationFinished) -> InvocationProfiled:
    return InvocationProfiled(
        event_id=derive_event_id(event.event_id, "InvocationProfiled"),
        invocation_id=event.invocation_id,
        causation_id=event.event_id,
        occurred_at_ms=event.occurred_at_ms,
        execution=event.execution,
        profile=estimate_profile(event.execution, event.readings),
    )
