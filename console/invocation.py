"""An invocation's page: where its time and memory went, what it said, what came of it. Pure.

Not here: looking its events up (`trace`), the waterfall (`waterfall`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from console import charts
from console.rows import measure_total_us
from console.trace import Traced
from console.waterfall import Step, list_steps
from console.words import describe_us, spell
from profiler.view import Curve, Part, View, make_view
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
    ResultPublished,
    SandboxStarted,
    SandboxStopped,
)

E = TypeVar("E")


@dataclass(frozen=True)
class Link:
    """One event of the chain, and what it says in a few words."""

    name: str
    stream: str
    entry_id: str
    event_id: str
    causation_id: str
    appended_ms: int
    says: str
    cause_is_shown: bool


@dataclass(frozen=True)
class Plot:
    """A figure over the run, drawn."""

    title: str
    picture: Markup


@dataclass(frozen=True)
class InvocationPage:
    """The page."""

    request_id: str
    function_id: str
    requested: InvocationRequested | None
    rejected: InvocationRejected | None
    execution: Execution | None
    total_us: int
    steps: list[Step]
    view: View | None
    breakdown: Markup | None
    parts: list[tuple[Part, float]]  # with its share of the run
    plots: list[Plot]
    chain: list[Link]
    tuned: InvocationTuned | None
    published: ResultPublished | None
    ended_at_ms: int
    document: bytes | None


def make_invocation(
    request_id: str, traced: Sequence[Traced], document: bytes | None
) -> InvocationPage:
    """From the events of one invocation, at least one, and the document if it is still there."""
    events = [one.event for one in traced]
    told = _find_told(events)
    view = make_view(request_id, told) if told else None
    execution = told.execution if told else None
    return InvocationPage(
        request_id=request_id,
        function_id=_find_function(events),
        requested=_first(events, InvocationRequested),
        rejected=_first(events, InvocationRejected),
        execution=execution,
        total_us=measure_total_us(execution.phases) if execution else 0,
        steps=list_steps(traced, execution),
        view=view,
        breakdown=_draw_breakdown(view),
        parts=[(part, part.us / max(view.run_us, 1)) for part in view.parts] if view else [],
        plots=[_draw_curve(curve, view) for curve in view.curves] if view else [],
        chain=list_chain(traced),
        tuned=_first(events, InvocationTuned),
        published=_first(events, ResultPublished),
        ended_at_ms=told.occurred_at_ms if told else 0,
        document=document,
    )


def list_chain(traced: Sequence[Traced]) -> list[Link]:
    """Every event with its cause, oldest first."""
    shown = {one.event.event_id for one in traced}
    return [
        Link(
            name=type(one.event).__name__,
            stream=one.place.stream.name,
            entry_id=one.entry_id,
            event_id=one.event.event_id,
            causation_id=one.event.causation_id,
            appended_ms=one.appended_ms,
            says=_say(one.event),
            cause_is_shown=one.event.causation_id in shown,
        )
        for one in traced
    ]


def _first(events: Sequence[Anything], kind: type[E]) -> E | None:
    return next((event for event in events if isinstance(event, kind)), None)


def _find_told(
    events: Sequence[Anything],
) -> InvocationFinished | InvocationProfiled | InvocationTuned | None:
    """The event that tells most of the run: the raw readings first."""
    return (
        _first(events, InvocationFinished)
        or _first(events, InvocationProfiled)
        or _first(events, InvocationTuned)
    )


def _find_function(events: Sequence[Anything]) -> str:
    for event in events:
        if isinstance(event, InvocationFinished | InvocationProfiled | InvocationTuned):
            return event.execution.function_id
        if not isinstance(event, DeadLettered):
            return event.function_id
    return ""


def _say(event: Anything) -> str:  # noqa: C901, PLR0911 - a line for each type of event
    """What it says in a few words."""
    match event:
        case InvocationRequested():
            return (
                f"{event.runtime} {event.handler}, {event.memory_mb} MB, "
                f"time-out {describe_us(event.timeout_ms * 1_000)}"
            )
        case InvocationRejected():
            return f"{event.field}: {event.reason}"
        case InvocationFinished(execution=execution):
            start = "" if execution.start == "none" else f", {execution.start} start"
            return f"{spell(execution.outcome)}{start}, ran {describe_us(execution.phases.run_us)}"
        case InvocationProfiled(profile=profile):
            cpu = describe_us(profile.cpu_user_us + profile.cpu_system_us)
            return f"{cpu} of CPU, peak {profile.memory_peak_bytes / (1 << 20):.1f} MB"
        case InvocationTuned(advice=advice):
            return advice.tip if advice else "no advice: it never ran"
        case MemoryLimitChanged():
            return f"{event.from_mb} MB to {event.to_mb} MB: {event.reason}"
        case ResultPublished():
            return f"{event.document.key}, {event.document_bytes:,} bytes"
        case DeadLettered():
            return event.reason.strip().rpartition("\n")[2]
        case SandboxStarted() | SandboxStopped():
            return event.sandbox_id
        case CostModelRefreshed():
            return f"{event.invocation_count:,} invocations"


def _draw_breakdown(view: View | None) -> Markup | None:
    if view is None or not view.parts:
        return None
    whole = max(view.run_us, 1)
    told = ", ".join(f"{part.name} {describe_us(part.us)}" for part in view.parts)
    return charts.draw_bar(
        [(part.key, part.us / whole, f"{part.name}: {describe_us(part.us)}")
         for part in view.parts],
        f"Where the run went: {told}",
    )  # fmt: skip


def _draw_curve(curve: Curve, view: View) -> Plot:
    """The figure from 0, over the whole run."""
    run_ms = max(view.run_us / 1_000, 0.001)
    kind = "memory" if curve.unit == "MB" else "cpu"
    scale = charts.make_scale(max(amount for _, amount in curve.points))
    points = [(min(at_ms / run_ms, 1.0), amount / scale[-1]) for at_ms, amount in curve.points]
    area = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
    title = curve.describe()
    return Plot(
        title,
        charts.draw(
            charts.Chart(
                text=f"Over the run: {title}",
                height=150,
                left=charts.make_ticks(scale, curve.unit),
                below=[charts.Tick(0.0, "0"), charts.Tick(1.0, describe_us(view.run_us))],
                lines=[charts.Line(f"{kind} area", area, filled=True), charts.Line(kind, points)],
            )
        ),
    )
