"""How predictions and choices of a size are scored.

Not here: the data (`measured`, `tuning`), the models (`tuner`).
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tuner.price_lists import LAMBDA_X86
from tuner.prices import price_invocation_usd

_SAME = 1 + 1e-9


class Trial(NamedTuple):
    """One function, predicted from some of its sizes: durations in ms by size in MB."""

    name: str
    seen: frozenset[int]
    predicted: Mapping[int, float]
    actual: Mapping[int, float]
    doubt: float = 1.0  # by which a size that was not seen must be better

    @property
    def errors(self) -> list[float]:
        """Relative, at every size that was not seen."""
        return [
            abs(self.predicted[size] / self.actual[size] - 1)
            for size in self.actual
            if size not in self.seen
        ]

    @property
    def regret(self) -> float:
        """By how much the choice costs more than the best; by invocation, with the fee."""
        predicted = {
            size: _cost(size, ms) * (1.0 if size in self.seen else self.doubt)
            for size, ms in self.predicted.items()
        }
        actual = {size: _cost(size, ms) for size, ms in self.actual.items()}
        chosen = min(actual, key=lambda size: (predicted[size], size))
        return actual[chosen] / min(actual.values()) - 1


class Score(NamedTuple):
    """Of many trials; in percent."""

    name: str
    trials: int
    predictions: int
    error_mean: float
    error_median: float
    error_p90: float
    regret_mean: float
    hit_rate: float


def score(name: str, trials: Sequence[Trial]) -> Score:
    """The score of trials, of which there must be one."""
    errors = sorted(error for trial in trials for error in trial.errors)
    regrets = [trial.regret for trial in trials]
    return Score(
        name=name,
        trials=len(trials),
        predictions=len(errors),
        error_mean=_percent(statistics.fmean(errors)),
        error_median=_percent(statistics.median(errors)),
        error_p90=_percent(errors[int(len(errors) * 0.9)]),
        regret_mean=_percent(statistics.fmean(regrets)),
        hit_rate=_percent(sum(regret < _SAME - 1 for regret in regrets) / len(regrets)),
    )


def _cost(memory_mb: int, duration_ms: float) -> float:
    return price_invocation_usd(LAMBDA_X86, memory_mb, duration_ms * 1_000)


def _percent(ratio: float) -> float:
    return round(ratio * 100, 2)
