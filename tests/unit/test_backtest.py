"""The back-test: advice scored against what came after it."""

import random
from collections.abc import Iterable

import pytest

from shared.events import InvocationProfiled, Outcome
from tests.unit.test_tuner import grant, make_event
from tests.unit.test_tuner_fold import make_history
from tuner.backtest import Outcomes, add_up, backtest
from tuner.bandwidth import Work, estimate_stall_us
from tuner.facts import has_run, read_facts

PERIOD_US = 20_000


def walk(events: Iterable[InvocationProfiled]) -> Outcomes:
    return add_up(
        backtest(
            (event.execution.function_id, read_facts(event)) for event in events if has_run(event)
        )
    )


def make_run(number: int, memory_mb: int, cpu_ms: float) -> InvocationProfiled:
    """As the kernel would have it: one burst of CPU time and 40 ms of waiting."""
    quota_us = grant(memory_mb).cpu_quota_us or 0
    stall_us = estimate_stall_us(Work(cpu_ms * 1_000, 40_000), quota_us, PERIOD_US)
    run_ms = cpu_ms + 40 + stall_us / 1_000
    return make_event(
        number, limits=grant(memory_mb), run_ms=run_ms, cpu_ms=cpu_ms, throttled_ms=stall_us / 1_000
    )


def test_the_interval_holds_nine_of_ten() -> None:
    """At sizes that were seen and at the first runs of a new one, for a noisy function."""
    noise = random.Random(3)
    sizes = [512] * 200 + [1_024] * 200 + [256] * 200
    outcomes = walk(
        make_run(number, memory_mb, noise.gauss(60, 6)) for number, memory_mb in enumerate(sizes)
    )

    assert 595 == outcomes.predictions
    assert 0.85 <= outcomes.covered / outcomes.predictions <= 0.95
    assert 1 == outcomes.regret_count
    assert outcomes.regret_sum < 0.05


def test_memory_is_short_when_advice_came_too_early() -> None:
    """A peak above what was advised is a violation; after it the advice is above it."""
    quiet = [make_event(n, peak_mb=100) for n in range(30)]
    loud = [make_event(n, peak_mb=400) for n in range(30, 60)]
    outcomes = walk([*quiet, *loud])

    assert 1 == outcomes.violations
    assert 0 == walk(quiet).violations


def test_nothing_is_advised_below_what_ran_out() -> None:
    """For good, over forty functions."""
    outcomes = walk(make_history(3_000))
    killed = make_event(0, limits=grant(256), outcome=Outcome.OUT_OF_MEMORY, peak_mb=20)
    later = [make_event(n, limits=grant(512), peak_mb=20) for n in range(1, 30)]

    assert 0 == outcomes.below_out_of_memory
    assert 0 == walk([killed, *later]).below_out_of_memory


def test_slack_after_tuning() -> None:
    """Where memory decides, a fifth of what is granted is unused at the peak, and no more."""
    noise = random.Random(4)
    events = [
        make_event(n, limits=grant(2_048), peak_mb=noise.uniform(380, 400)) for n in range(200)
    ]
    outcomes = walk(events)

    assert 0 == outcomes.violations
    assert outcomes.slack_count > 150
    assert 0.19 <= outcomes.slack_sum / outcomes.slack_count <= 0.23


def test_nothing_adds_up_to_nothing() -> None:
    """An empty history has no outcomes, a single run no advice to score."""
    assert Outcomes() == walk([])
    assert pytest.approx(1) == walk([make_event()]).invocations
    assert 0 == walk([make_event()]).advices
