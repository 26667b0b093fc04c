"""A function's page: what it costs at each size, its peaks, the advice and what came of it. Pure.

Not here: the model (`tuner`), which is asked with the invocations that are remembered, on top of
the last model that a replay wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from console.curve import draw_curve
from console.peaks import draw_peaks
from console.projection import Projection
from console.rows import Function, Invocation, Profiled
from console.window import find_percentile_us
from shared.events import CostModelRefreshed, MemoryLimitChanged
from tuner.adviser import Adviser
from tuner.ledger import Change, read_ledger
from tuner.report import Report, make_report
from tuner.state import EMPTY, apply_facts, resume

_RECENT = 20
_SPOKEN_MAX = 400


@dataclass(frozen=True)
class Evidence:
    """An event behind the advice, and the invocation it is of, where that is remembered."""

    event_id: str
    request_id: str | None


@dataclass(frozen=True)
class FunctionPage:
    """The page."""

    function: Function
    p50_us: float | None
    p99_us: float | None
    report: Report | None
    curve: Markup | None
    peaks: Markup | None
    evidence: list[Evidence]
    ledger: list[Change]
    changes: list[MemoryLimitChanged]
    recent: list[Invocation]
    known: int  # invocations that the curve rests on


def make_function(
    projection: Projection, function_id: str, adviser: Adviser
) -> FunctionPage | None:
    """None where no invocation of it is remembered. The caller holds the lock."""
    function = projection.find_function(function_id)
    if function is None:
        return None
    profiled = [one for one in projection.profiled if one.function_id == function_id]
    report = fold_report(function, profiled, projection.models.get(function_id), adviser)
    spoken = profiled[-_SPOKEN_MAX:]
    facts = ((one.function_id, one.facts) for one in profiled)
    return FunctionPage(
        function=function,
        p50_us=find_percentile_us(function.lengths, 0.5),
        p99_us=find_percentile_us(function.lengths, 0.99),
        report=report,
        curve=draw_curve(report) if report else None,
        peaks=draw_peaks([one.facts for one in spoken]),
        evidence=list_evidence(function, profiled),
        ledger=list(read_ledger(facts, adviser)),
        changes=[one for one in projection.changes if one.function_id == function_id],
        recent=projection.list_recent(function_id, _RECENT),
        known=report.invocations if report else 0,
    )


def fold_report(
    function: Function,
    profiled: Sequence[Profiled],
    model: CostModelRefreshed | None,
    adviser: Adviser,
) -> Report | None:
    """The report on the last model and what was profiled after it; None before a run was timed."""
    if function.limits is None:
        return None
    state, until = EMPTY, (0, 0)
    if model is not None:
        milliseconds, _, number = model.until_entry.partition("-")
        state, until = resume(model.state), (int(milliseconds), int(number or 0))
    for one in profiled:
        if one.order > until:
            state = apply_facts(state, one.facts)
    return make_report(function.function_id, state, function.limits, adviser)


def list_evidence(function: Function, profiled: Sequence[Profiled]) -> list[Evidence]:
    """Newest first."""
    if function.advice is None:
        return []
    known = {one.facts.event_id: one.request_id for one in profiled}
    ids = reversed(function.advice.evidence_ids)
    return [Evidence(event_id, known.get(event_id)) for event_id in ids]
