"""A function's page: what it costs at each size, its peaks, the advice and what came of it. Pure.

Not here: the model (`tuner`), which is asked with the invocations that are remembered, on top of
the last model that a replay wrote.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from markupsafe import Markup
from msgspec.structs import replace

from console.curve import draw_curve
from console.peaks import draw_peaks
from console.projection import Projection
from console.rows import Function, Invocation, Order, Profiled, read_order
from console.window import find_percentile_us
from shared.events import CostModelRefreshed, MemoryLimitChanged
from tuner.adviser import Adviser
from tuner.ledger import Change, read_ledger
from tuner.report import Report, make_report
from tuner.state import EMPTY, FunctionState, apply_facts, resume

_RECENT = 20
_SPOKEN_MAX = 400  # peaks in the chart
_LEDGER_MAX = 1_000  # invocations; each costs a fold of tens of microseconds
_FOLDS_MAX = 50


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


@dataclass(frozen=True)
class Taken:
    """What the projection knows of a function, copied: figures take longer than the lock may."""

    function: Function
    generation: int  # of the projection
    profiled: list[Profiled]
    model: CostModelRefreshed | None
    changes: list[MemoryLimitChanged]
    recent: list[Invocation]


def take(projection: Projection, function_id: str) -> Taken | None:
    """None where no invocation of it is remembered. The caller holds the lock."""
    function = projection.find_function(function_id)
    if function is None:
        return None
    return Taken(
        function=replace(function, lengths=function.lengths.copy()),
        generation=projection.generation,
        profiled=[one for one in projection.profiled if one.function_id == function_id],
        model=projection.models.get(function_id),
        changes=[one for one in projection.changes if one.function_id == function_id],
        recent=[copy(one) for one in projection.list_recent(function_id, _RECENT)],
    )


class Folds:
    """The states that were folded last, so that a page that is followed folds only what is new."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, str], Order, FunctionState]] = {}

    def fold(self, taken: Taken) -> FunctionState:
        """The last model, and what was profiled after it."""
        name, model = taken.function.function_id, taken.model
        begin = (taken.generation, model.event_id if model else "")
        known = self._known.get(name)
        if known and known[0] == begin:
            _, until, state = known
        elif model:
            until, state = read_order(model.until_entry), resume(model.state)
        else:
            until, state = (0, 0), EMPTY
        for one in taken.profiled:
            if one.order > until:
                state, until = apply_facts(state, one.facts), one.order
        if len(self._known) >= _FOLDS_MAX:
            self._known.clear()
        self._known[name] = (begin, until, state)
        return state


def make_function(taken: Taken, adviser: Adviser, folds: Folds) -> FunctionPage:
    """The page of what was taken."""
    function, profiled = taken.function, taken.profiled
    report = (
        make_report(function.function_id, folds.fold(taken), function.limits, adviser)
        if function.limits
        else None
    )
    return FunctionPage(
        function=function,
        p50_us=find_percentile_us(function.lengths, 0.5),
        p99_us=find_percentile_us(function.lengths, 0.99),
        report=report,
        curve=draw_curve(report) if report else None,
        peaks=draw_peaks([one.facts for one in profiled[-_SPOKEN_MAX:]]),
        evidence=list_evidence(function, profiled),
        ledger=list_changes(profiled, adviser),
        changes=taken.changes,
        recent=taken.recent,
        known=report.invocations if report else 0,
    )


def list_changes(profiled: Sequence[Profiled], adviser: Adviser) -> list[Change]:
    """The ledger of the newest; nothing is folded where the size was always the same."""
    facts = [(one.function_id, one.facts) for one in profiled[-_LEDGER_MAX:]]
    if len({one.memory_mb for _, one in facts}) < 2:
        return []
    return list(read_ledger(facts, adviser))


def list_evidence(function: Function, profiled: Sequence[Profiled]) -> list[Evidence]:
    """Newest first."""
    if function.advice is None:
        return []
    known = {one.facts.event_id: one.request_id for one in profiled}
    ids = reversed(function.advice.evidence_ids)
    return [Evidence(event_id, known.get(event_id)) for event_id in ids]
