"""A journey to spans: one trace for an invocation, a span for each phase. Pure.

Ids come from the request id, so that a trace can be found by it and a repeat is the same trace.
Where a phase lay is put together from both ends: what comes before the code is counted from the
request's append, what comes after from the moment that the executor noted as the ending.
Attributes follow OpenTelemetry's conventions for functions (`faas.*`); ours begin with `hearth.`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from shared.events import Execution, InvocationTuned, Outcome, Phases, Start
from traces.journey import Journey

Attribute = str | int | float | bool

_WAIT_US_MIN = 1_000  # shorter gaps are the rounding of the log's milliseconds


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times are Unix microseconds."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    start_us: int
    end_us: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str = ""


def derive_trace_id(invocation_id: str) -> int:
    """128 bits, the same for the same request."""
    return int.from_bytes(blake2b(invocation_id.encode(), digest_size=16).digest())


def derive_span_id(invocation_id: str, name: str) -> int:
    """64 bits, the same for the same phase of the same request."""
    return int.from_bytes(blake2b(f"{invocation_id}/{name}".encode(), digest_size=8).digest())


def build_trace(journey: Journey) -> list[Span]:
    """The spans of a whole journey, the invocation's own first."""
    event = journey.tuned
    assert event is not None, "a journey is whole when it was tuned"
    parts = [*_place_run(journey, event), *_place_stages(journey)]
    execution, request_id = event.execution, event.invocation_id
    begin_us = min([execution.requested_at_ms * 1_000, *(begin for _, begin, _ in parts)])
    end_us = max([journey.published_ms * 1_000, *(end for _, _, end in parts)])
    parent = journey.parent
    trace_id = derive_trace_id(request_id) if parent is None else parent.trace_id
    root_id = derive_span_id(request_id, "invocation")
    root = Span(
        name=f"invocation {execution.function_id}".strip(),
        trace_id=trace_id,
        span_id=root_id,
        parent_id=None if parent is None else parent.span_id,
        start_us=begin_us,
        end_us=end_us,
        attributes=_describe(journey, event),
        error=_explain(execution),
    )
    children = [
        Span(
            name=name,
            trace_id=trace_id,
            span_id=derive_span_id(request_id, name),
            parent_id=root_id,
            start_us=start_us,
            end_us=max(start_us, until_us),
            attributes=_describe_run(event) if name == "run" else {},
            error=root.error if name == "run" else "",
        )
        for name, start_us, until_us in parts
    ]
    return [root, *children]


def _place_run(journey: Journey, event: InvocationTuned) -> Iterator[tuple[str, int, int]]:
    """The executor's phases that took time: name, begin and end."""
    phases: Phases = event.execution.phases
    at_us = (journey.requested_ms or event.execution.requested_at_ms) * 1_000
    for name, took_us in (
        ("queued", phases.queued_us), ("input", phases.input_us), ("code", phases.code_us),
    ):  # fmt: skip
        if took_us:
            yield name, at_us, at_us + took_us
            at_us += took_us
    later = [
        ("sandbox", phases.sandbox_us), ("init", phases.init_us),
        ("run", phases.run_us), ("output", phases.output_us),
    ]  # fmt: skip
    begin_us = max(event.occurred_at_ms * 1_000 - sum(took for _, took in later), at_us)
    if begin_us - at_us >= _WAIT_US_MIN and event.execution.start is not Start.NONE:
        yield "wait", at_us, begin_us
    for name, took_us in later:
        if took_us:
            yield name, begin_us, begin_us + took_us
            begin_us += took_us


def _place_stages(journey: Journey) -> Iterator[tuple[str, int, int]]:
    """From append to append: what the stages after the executor took, with their streams."""
    moments = (
        ("profile", journey.executed_ms, journey.profiled_ms),
        ("tune", journey.profiled_ms, journey.tuned_ms),
        ("publish", journey.tuned_ms, journey.published_ms),
    )
    for name, begin_ms, end_ms in moments:
        if begin_ms and end_ms:
            yield name, begin_ms * 1_000, end_ms * 1_000


def _describe(journey: Journey, event: InvocationTuned) -> dict[str, Attribute]:
    execution = event.execution
    described: dict[str, Attribute] = {
        "faas.name": execution.function_id,
        "faas.invocation_id": event.invocation_id,
        "faas.trigger": "pubsub",
        "faas.coldstart": execution.start is Start.COLD,
        "hearth.outcome": execution.outcome.value,
        "hearth.attempt": execution.attempt,
        "hearth.worker": execution.worker_id,
        "hearth.document": journey.document,
    }
    if execution.runtime is not None:
        described["hearth.runtime"] = execution.runtime.value
    if execution.limits is not None:
        described["faas.max_memory"] = execution.limits.memory_mb << 20
    if event.advice is not None:
        described["hearth.advice.memory_mb"] = event.advice.memory_mb
        described["hearth.advice.findings"] = ",".join(
            one.kind.value for one in event.advice.findings
        )
    return described


def _describe_run(event: InvocationTuned) -> dict[str, Attribute]:
    profile, parts = event.profile, event.profile.breakdown
    return {
        "hearth.cpu_user_us": profile.cpu_user_us,
        "hearth.cpu_system_us": profile.cpu_system_us,
        "hearth.memory_peak_bytes": profile.memory_peak_bytes,
        "hearth.memory_accuracy": profile.memory_accuracy.value,
        "hearth.on_cpu_us": parts.on_cpu_us,
        "hearth.throttled_us": parts.throttled_us,
        "hearth.run_queue_us": parts.run_queue_us,
        "hearth.block_io_us": parts.block_io_us,
        "hearth.memory_pressure_us": parts.memory_pressure_us,
        "hearth.waiting_us": parts.waiting_us,
        "hearth.unattributed_us": parts.unattributed_us,
    }


def _explain(execution: Execution) -> str:
    """Why the invocation is an error; empty where it is none."""
    if execution.outcome is Outcome.SUCCEEDED:
        return ""
    failure = execution.answer.failure
    return execution.outcome.value if failure is None else f"{failure.type}: {failure.message}"
