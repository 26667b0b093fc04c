"""What a run showed, as a table and as JSON. Pure.

Not here: what an invariant is (`checker`).
"""

import json
import statistics
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass

from tests.chaos.checker import Verdict
from tests.chaos.history import History
from tests.chaos.load import POISON
from tests.chaos.saboteur import Injected


@dataclass(frozen=True)
class Report:
    """One run."""

    seed: int
    seconds: float
    under_fire_s: float
    invocations: int
    duplicates: int
    poison: dict[str, int]
    kills: int
    faults: dict[str, int]
    attempts: dict[int, int]  # how many invocations ended in which attempt
    recovery_p50_ms: float
    recovery_max_ms: float
    verdicts: list[Verdict]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


def find_recoveries(history: History, injected: list[Injected]) -> list[int]:
    """Milliseconds from the end of each fault to the next published result."""
    moments = sorted(at_ms for _, at_ms in history.published)
    found = []
    for one in injected:
        place = bisect_left(moments, one.ended_ms)
        if place < len(moments):
            found.append(moments[place] - one.ended_ms)
    return found


def count_faults(injected: list[Injected]) -> dict[str, int]:
    """How many of each were done."""
    return dict(sorted(Counter(one.fault.name for one in injected).items()))


def count_poison(history: History) -> dict[str, int]:
    """How many of each kind were sent."""
    kinds = Counter(one.kind for one in history.sent if one.kind in POISON)
    return dict(sorted(kinds.items()))


def median(figures: list[int]) -> float:
    """The median; 0 of none."""
    return statistics.median(figures) if figures else 0.0


def format_text(report: Report) -> str:
    """For people."""
    poison = sum(report.poison.values())
    p50, longest = report.recovery_p50_ms, report.recovery_max_ms
    lines = [
        f"seed {report.seed}: {report.kills} kills in {report.under_fire_s:.0f} s",
        f"{report.invocations} invocations, {report.duplicates} sent again, {poison} with poison",
        f"all was settled after {report.seconds:.0f} s",
        f"from the end of a fault to the next result: p50 {p50:.0f} ms, max {longest:.0f} ms",
        f"attempts: {_join(report.attempts)}",
        f"poison: {_join(report.poison)}",
        "",
        "faults",
        *[f"  {count:>5}  {name}" for name, count in report.faults.items()],
        "",
        "invariants",
    ]
    for verdict in report.verdicts:
        mark = "holds " if verdict.holds else "BROKEN"
        lines.append(f"  {mark}  {verdict.invariant} ({verdict.cases} cases)")
        if not verdict.holds:
            lines.append(f"          {verdict.broken} times; for example:")
            lines += [f"          - {example}" for example in verdict.examples]
    return "\n".join(lines)


def _join(counts: dict[int, int] | dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def format_json(report: Report) -> str:
    """For programs."""
    fields = {**report.__dict__, "verdicts": [one.__dict__ for one in report.verdicts]}
    return json.dumps({**fields, "holds": report.holds}, indent=2, ensure_ascii=False)
