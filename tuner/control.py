"""Control: when the tuner acts on its own advice, and when it takes a change back.

Not here: the advice (`recommendation`); who applies a change (the publisher makes it known, ingest
asks for that limit). Pure: a state and one invocation in, a state and perhaps an action out.

A change is made only for functions that asked for it, when the advice is firm, is better by more
than `gain_percent_min` (or safety asks for it), and the budget allows another. For `watch_runs`
invocations after it the tuner watches: slower than predicted, out of memory, or too near to the
limit, and it goes back to the size before, which is then not tried again for a day.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from shared.events import Advice, Confidence, FindingKind
from tuner.facts import Facts
from tuner.floor import MEBIBYTE, MEMORY_MB_MAX

DAY_MS = 86_400_000
RISK_PERCENT = 85


class Rules(Struct, frozen=True, kw_only=True):
    """How eager and how patient it is."""

    gain_percent_min: float = 10.0  # of cost, or of duration where cost hardly moves
    changes_per_day_max: int = 3
    rest_runs: int = 20  # between two changes
    watch_runs: int = 20
    regression_percent: int = 20  # above the upper end of what was predicted
    regression_runs_min: int = 5


RULES = Rules()


class Action(StrEnum):
    """Why a limit was changed."""

    ADVICE = "advice"
    SAFETY = "safety"
    ROLL_BACK = "roll_back"


class Watch(Struct, frozen=True, array_like=True):
    """A change whose effect is watched."""

    from_mb: int
    to_mb: int
    run_us_max: int  # mean durations above this are a regression
    runs: int = 0
    timed: int = 0
    run_us: int = 0


class Controlled(Struct, frozen=True, array_like=True):
    """What control remembers of a function."""

    memory_mb: int = 0  # in force; 0: what the message asked for
    runs_since: int = 0
    changed_at_ms: tuple[int, ...] = ()  # within a day
    rejected_mb: int = 0  # was rolled back
    rejected_until_ms: int = 0
    watch: Watch | None = None


class Decision(NamedTuple):
    """What to change, and why."""

    from_mb: int
    to_mb: int
    action: Action
    reason: str


UNTOUCHED = Controlled()


def control(
    controlled: Controlled, facts: Facts, advice: Advice | None, rules: Rules = RULES
) -> tuple[Controlled, Decision | None]:
    """After one invocation of a function that wants to be tuned: the state, and what to change."""
    in_force = controlled.memory_mb or facts.memory_mb
    if facts.memory_mb != in_force:
        return controlled, None  # began before the change; it tells nothing about it
    controlled = _observe(controlled, facts)
    decision = _find_regression(controlled, facts, rules)
    if decision is None and controlled.watch is None and advice is not None:
        decision = _follow_advice(controlled, facts, advice, rules)
    if decision is None:
        return _stop_watching(controlled, rules), None
    return _change(controlled, facts, advice, decision, rules), decision


def _observe(controlled: Controlled, facts: Facts) -> Controlled:
    recent = tuple([at for at in controlled.changed_at_ms if at > facts.at_ms - DAY_MS])
    watch = controlled.watch
    if watch is not None:
        counts = facts.is_timed and not facts.is_cold
        watch = replace(
            watch,
            runs=watch.runs + 1,
            timed=watch.timed + counts,
            run_us=watch.run_us + (facts.run_us if counts else 0),
        )
    return replace(
        controlled, runs_since=controlled.runs_since + 1, changed_at_ms=recent, watch=watch
    )


def _find_regression(controlled: Controlled, facts: Facts, rules: Rules) -> Decision | None:
    """Why the last change has to be taken back; only a larger size helps a lack of memory."""
    watch = controlled.watch
    if watch is None:
        return None
    reason = ""
    if watch.from_mb > watch.to_mb:
        peak_bytes = facts.peak_bytes or 0
        if facts.ran_out_of_memory:
            reason = f"ran out of memory at {watch.to_mb} MB"
        elif peak_bytes * 100 > watch.to_mb * MEBIBYTE * RISK_PERCENT:
            reason = f"peak {peak_bytes // MEBIBYTE} MB of {watch.to_mb} MB"
    if not reason and watch.timed >= rules.regression_runs_min:
        mean_us = watch.run_us // watch.timed
        if mean_us > watch.run_us_max:
            reason = f"{mean_us / 1000:.1f} ms a call, {watch.run_us_max / 1000:.1f} were allowed"
    if not reason:
        return None
    return Decision(watch.to_mb, watch.from_mb, Action.ROLL_BACK, reason)


def _follow_advice(
    controlled: Controlled, facts: Facts, advice: Advice, rules: Rules
) -> Decision | None:
    size = advice.memory_mb
    if size == facts.memory_mb or _is_rejected(controlled, size, facts.at_ms):
        return None
    is_risky = any(finding.kind is FindingKind.MEMORY_RISK for finding in advice.findings)
    if is_risky and size > facts.memory_mb:  # memory is short: neither budget nor rest
        return Decision(facts.memory_mb, size, Action.SAFETY, advice.tip)
    if advice.confidence is not Confidence.HIGH or controlled.runs_since < rules.rest_runs:
        return None
    if len(controlled.changed_at_ms) >= rules.changes_per_day_max:
        return None
    if not _is_worth_it(facts, advice, rules):
        return None
    return Decision(facts.memory_mb, size, Action.ADVICE, advice.tip)


def _is_worth_it(facts: Facts, advice: Advice, rules: Rules) -> bool:
    """Cheaper by enough, or faster by enough more than it is dearer; and out of the good range."""
    if advice.memory_mb_min <= facts.memory_mb <= advice.memory_mb_max:
        return False
    if advice.memory_mb < facts.memory_mb:
        return advice.savings_percent >= rules.gain_percent_min
    faster = 0.0
    if advice.duration_ms is not None and facts.run_us:
        faster = 100 - advice.duration_ms * 100_000 / facts.run_us
    return faster + advice.savings_percent >= rules.gain_percent_min


def _is_rejected(controlled: Controlled, memory_mb: int, at_ms: int) -> bool:
    """Whether a size as bad as the one that was rolled back is on its day of rest."""
    return (
        at_ms < controlled.rejected_until_ms
        and controlled.rejected_mb > 0
        and memory_mb <= controlled.rejected_mb
    )


def _change(
    controlled: Controlled,
    facts: Facts,
    advice: Advice | None,
    decision: Decision,
    rules: Rules,
) -> Controlled:
    rolls_back = decision.action is Action.ROLL_BACK
    watch = None
    if not rolls_back and advice is not None:
        longest_ms = advice.duration_ms_max or advice.duration_ms or MEMORY_MB_MAX * 1e6
        allowed_us = int(longest_ms * 1_000 * (100 + rules.regression_percent) / 100)
        watch = Watch(decision.from_mb, decision.to_mb, allowed_us)
    return Controlled(
        decision.to_mb,
        0,
        (*controlled.changed_at_ms, facts.at_ms),
        decision.from_mb if rolls_back else controlled.rejected_mb,
        facts.at_ms + DAY_MS if rolls_back else controlled.rejected_until_ms,
        watch,
    )


def _stop_watching(controlled: Controlled, rules: Rules) -> Controlled:
    watch = controlled.watch
    if watch is None or watch.runs < rules.watch_runs:
        return controlled
    return replace(controlled, watch=None)
