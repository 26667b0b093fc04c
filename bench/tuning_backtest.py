"""The measured functions as histories: a size after another, walked through by the back-test.

Not here: the walk itself (`tuner.backtest`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.measured import Run
from bench.tuning_measured import Measured
from tuner.backtest import add_up, backtest
from tuner.facts import Facts

LIVES = ((512,), (128,), (1024, 512), (256, 1024), (1769, 1024, 512, 256))
_PAUSE_MS = 60_000


class Covered(NamedTuple):
    """What the back-test said of one kind of life; in percent."""

    sizes: tuple[int, ...]
    predictions: int
    covered: float  # runs inside the interval that was given before
    violations: int
    regret_mean: float | None


def walk_measured(functions: Sequence[Measured]) -> list[Covered]:
    """Each kind of life, over all functions that were measured at its sizes."""
    covered = []
    for sizes in LIVES:
        history = [
            (one.name, facts)
            for one in functions
            if all(size in one.sizes for size in sizes)
            for facts in _live(one, sizes)
        ]
        outcomes = add_up(backtest(history))
        if not outcomes.predictions:
            continue
        regret = (
            round(outcomes.regret_sum / outcomes.regret_count * 100, 2)
            if outcomes.regret_count
            else None
        )
        share = round(outcomes.covered / outcomes.predictions * 100, 1)
        covered.append(Covered(sizes, outcomes.predictions, share, outcomes.violations, regret))
    return covered


def _live(function: Measured, sizes: tuple[int, ...]) -> Iterator[Facts]:
    """The warm runs at one size, then at the next."""
    runs = [run for size in sizes for run in function.sizes[size]]
    for number, run in enumerate(runs):
        yield _tell(run, number)


def _tell(run: Run, number: int) -> Facts:
    return Facts(
        event_id=f"{run.function}-{number}",
        at_ms=number * _PAUSE_MS,
        sandbox_id="",
        memory_mb=run.memory_mb,
        cpu_quota_us=run.quota_us,
        cpu_period_us=run.period_us,
        is_cold=False,
        is_timed=True,
        ran_out_of_memory=False,
        run_us=run.run_us,
        init_us=0,
        cpu_us=run.cpu_user_us + run.cpu_system_us,
        throttled_us=run.throttled_us,
        peak_bytes=run.peak_bytes,
        baseline_bytes=run.baseline_bytes,
        input_bytes=run.input_bytes,
    )
