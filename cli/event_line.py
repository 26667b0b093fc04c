"""One event as one line for people, and what `hearth tail` filters by. Pure.

Not here: reading events (`tail`).
"""

from datetime import datetime
from typing import NamedTuple

import click

from profiler.view import format_bytes, format_us
from shared.events import (
    Anything,
    CostModelRefreshed,
    DeadLettered,
    Execution,
    InvocationFinished,
    InvocationProfiled,
    InvocationRejected,
    InvocationRequested,
    InvocationTuned,
    MemoryLimitChanged,
    Outcome,
    ResultPublished,
    SandboxStarted,
    SandboxStopped,
)

_COLOURS = {
    "InvocationRequested": "cyan",
    "InvocationRejected": "red",
    "InvocationFinished": "green",
    "InvocationTuned": "magenta",
    "MemoryLimitChanged": "magenta",
    "ResultPublished": "blue",
    "DeadLettered": "red",
}


class Wanted(NamedTuple):
    """What is asked for; empty: everything."""

    function_id: str = ""
    request_id: str = ""
    outcome: str = ""

    def covers(self, event: Anything) -> bool:
        """Whether an event is what is asked for."""
        if self.request_id and event.invocation_id != self.request_id:
            return False
        if self.function_id and find_function(event) != self.function_id:
            return False
        return not self.outcome or find_outcome(event) == self.outcome


def find_function(event: Anything) -> str:
    """The function that an event is about; empty where it names none."""
    if isinstance(event, InvocationFinished | InvocationProfiled | InvocationTuned):
        return event.execution.function_id
    return getattr(event, "function_id", "")


def find_outcome(event: Anything) -> str:
    """How the invocation ended, where an event says so."""
    if isinstance(event, InvocationFinished | InvocationProfiled | InvocationTuned):
        return event.execution.outcome.value
    if isinstance(event, InvocationRejected):
        return Outcome.REJECTED.value
    return event.outcome.value if isinstance(event, ResultPublished) else ""


def write_line(event: Anything) -> str:
    """When, what, which function and request, and what there is to say of it."""
    moment = datetime.fromtimestamp(event.occurred_at_ms / 1_000).astimezone()
    kind = type(event).__name__
    words = [
        click.style(f"{moment:%H:%M:%S}.{event.occurred_at_ms % 1_000:03}", dim=True),
        click.style(f"{kind:<19}", fg=_COLOURS.get(kind)),
        find_function(event) or "-",
        _name_request(event),
        describe(event),
    ]
    return "  ".join(word for word in words if word)


def describe(event: Anything) -> str:
    """What is new with this event."""
    text = ""
    match event:
        case InvocationRequested():
            size = "auto" if event.memory_auto else f"{event.memory_mb} MB"
            text = f"{event.runtime.value} {event.handler}, {size}"
        case InvocationRejected() | SandboxStopped():
            text = event.reason
        case InvocationFinished():
            text = _describe_execution(event.execution)
        case InvocationProfiled():
            cpu_us = event.profile.cpu_user_us + event.profile.cpu_system_us
            peak = format_bytes(event.profile.memory_peak_bytes)
            text = f"peak {peak}, CPU {format_us(cpu_us)}"
        case InvocationTuned():
            text = event.advice.tip if event.advice else "no advice"
        case SandboxStarted():
            text = f"{event.kind}, {event.memory_mb} MB, {format_us(event.sandbox_us)}"
        case MemoryLimitChanged() | CostModelRefreshed() | ResultPublished() | DeadLettered():
            text = _describe_seldom(event)
    return text


def _describe_seldom(
    event: MemoryLimitChanged | CostModelRefreshed | ResultPublished | DeadLettered,
) -> str:
    match event:
        case MemoryLimitChanged():
            return f"{event.from_mb} to {event.to_mb} MB, {event.action}: {event.reason}"
        case CostModelRefreshed():
            return f"{event.invocation_count:,} invocations folded"
        case ResultPublished():
            return f"s3://{event.document.bucket}/{event.document.key}"
        case DeadLettered():
            reason = event.reason.strip().rpartition("\n")[2]
            return f"{event.stage}, {event.stream or 'a message'}: {reason}"


def _describe_execution(execution: Execution) -> str:
    outcome = execution.outcome.value.replace("_", " ")
    good = execution.outcome is Outcome.SUCCEEDED
    words = [click.style(outcome, fg="green" if good else "red")]
    words.append(f"{execution.start.value}, {format_us(max(execution.phases.run_us, 0))}")
    if execution.answer.failure is not None:
        words.append(f"{execution.answer.failure.type}: {execution.answer.failure.message}")
    return ", ".join(words)


def _name_request(event: Anything) -> str:
    """The sandbox's events belong to no request; what a fold made neither."""
    if isinstance(event, SandboxStarted | SandboxStopped):
        return event.sandbox_id
    return "" if isinstance(event, CostModelRefreshed) else event.invocation_id
