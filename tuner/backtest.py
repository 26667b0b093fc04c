"""The back-test: what the advice was worth, scored against what came after it.

Not here: where history comes from (`history`), the advice itself (`recommendation`).

It walks forward. Before each invocation the state is what was known then: from it come a prediction
for the size at which the invocation then ran, and the size that would have been advised. Nothing is
scored with what it was made from.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shared.events import Limits
from tuner.adviser import ADVISER, Adviser
from tuner.choice import choose_size, weigh
from tuner.curve import Curve, estimate_curve, predict_interval_us, predict_run_us
from tuner.facts import Facts
from tuner.floor import MEBIBYTE, MEMORY_MB_MAX, MEMORY_MB_MIN, decide_floor_mb
from tuner.state import EMPTY, FunctionState, apply_facts

RUNS_MIN = 5  # below, advice is marked low; its interval is not held against it
FIRM_RUNS = 20


class Outcomes(NamedTuple):
    """What was counted of one function, or of several together."""

    invocations: int = 0
    predictions: int = 0  # warm successes that an interval was given for
    covered: int = 0  # of these, inside it
    error_sum: float = 0.0  # relative, of the mean predicted against each run
    advices: int = 0  # sizes that would have been in force
    violations: int = 0  # of these, with a peak above them
    below_out_of_memory: int = 0  # of these, not above a size that had run out
    slack_sum: float = 0.0  # of firm advice above the smallest size: unused part at the peak
    slack_count: int = 0
    regret_sum: float = 0.0  # of the choice among the sizes that were seen later
    regret_count: int = 0


class FunctionOutcomes(NamedTuple):
    """Of one function."""

    function_id: str
    outcomes: Outcomes


class Memory:
    """What the walk holds of one function. Mutable: one walk owns it."""

    def __init__(self) -> None:
        self.state: FunctionState = EMPTY
        self.outcomes = Outcomes()
        self.first_curve: Curve | None = None  # of the first size, once it was firm


def backtest(
    history: Iterable[tuple[str, Facts]], adviser: Adviser = ADVISER
) -> Iterator[FunctionOutcomes]:
    """Walk through a history; the outcomes of each function, by name."""
    memories: dict[str, Memory] = {}
    for function_id, facts in history:
        memory = memories.setdefault(function_id, Memory())
        if memory.state.call_count:
            memory.outcomes = _score(memory.outcomes, memory.state, facts, adviser)
        memory.outcomes = memory.outcomes._replace(invocations=memory.outcomes.invocations + 1)
        memory.state = apply_facts(memory.state, facts)
        if memory.first_curve is None and memory.state.duration_count == FIRM_RUNS:
            memory.first_curve = estimate_curve(memory.state.sizes, read_limits(facts))
    for function_id in sorted(memories):
        memory = memories[function_id]
        yield FunctionOutcomes(function_id, _score_choice(memory))


def add_up(functions: Iterable[FunctionOutcomes]) -> Outcomes:
    """All functions together."""
    rows = [one.outcomes for one in functions]
    return Outcomes(*(sum(column) for column in zip(*rows, strict=True))) if rows else Outcomes()


def read_limits(facts: Facts) -> Limits:
    """The grant of an invocation."""
    return Limits(
        memory_mb=facts.memory_mb,
        timeout_ms=0,
        cpu_quota_us=facts.cpu_quota_us,
        cpu_period_us=facts.cpu_period_us,
    )


def _score(outcomes: Outcomes, state: FunctionState, facts: Facts, adviser: Adviser) -> Outcomes:
    limits = read_limits(facts)
    curve = estimate_curve(state.sizes, limits)
    if curve and facts.is_timed and not facts.is_cold and state.duration_count >= RUNS_MIN:
        low_us, high_us = predict_interval_us(curve, facts.memory_mb)
        predicted_us = predict_run_us(curve, facts.memory_mb)
        outcomes = outcomes._replace(
            predictions=outcomes.predictions + 1,
            covered=outcomes.covered + (low_us <= facts.run_us <= high_us),
            error_sum=outcomes.error_sum + abs(predicted_us - facts.run_us) / facts.run_us,
        )
    floor_mb = decide_floor_mb(state, facts.memory_mb, adviser.policy)
    advised_mb = choose_size(floor_mb, facts.memory_mb, curve, adviser.policy).memory_mb
    return _score_memory(outcomes, state, facts, (advised_mb, floor_mb, adviser))


def _score_memory(
    outcomes: Outcomes, state: FunctionState, facts: Facts, advice: tuple[int, int, Adviser]
) -> Outcomes:
    advised_mb, floor_mb, adviser = advice
    peak_bytes = facts.peak_bytes or 0
    is_short = peak_bytes > advised_mb * MEBIBYTE
    is_below = advised_mb <= state.out_of_memory_mb_max and advised_mb < MEMORY_MB_MAX
    outcomes = outcomes._replace(
        advices=outcomes.advices + 1,
        violations=outcomes.violations + is_short,
        below_out_of_memory=outcomes.below_out_of_memory + is_below,
    )
    is_firm = state.peak_count >= adviser.policy.firm_count and not state.out_of_memory_mb_max
    if is_firm and advised_mb == floor_mb > MEMORY_MB_MIN:
        slack = 1 - state.peak_bytes_max / (advised_mb * MEBIBYTE)
        outcomes = outcomes._replace(
            slack_sum=outcomes.slack_sum + slack, slack_count=outcomes.slack_count + 1
        )
    return outcomes


def _score_choice(memory: Memory) -> Outcomes:
    """What the first firm curve would have chosen among all sizes that were seen in the end.

    By memory x billed time as it was really measured at each of them.
    """
    outcomes, curve = memory.outcomes, memory.first_curve
    real = {
        samples.memory_mb: samples.memory_mb * samples.warm.billed_ms / samples.warm.count
        for samples in memory.state.sizes
        if samples.warm.count >= RUNS_MIN
    }
    if curve is None or len(real) < 2:
        return outcomes
    chosen = min(real, key=lambda memory_mb: (weigh(curve, memory_mb).cost, memory_mb))
    regret = real[chosen] / min(real.values()) - 1
    return outcomes._replace(
        regret_sum=outcomes.regret_sum + regret, regret_count=outcomes.regret_count + 1
    )
