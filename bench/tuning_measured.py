"""The functions measured here: from warm runs at one size to every other size.

Not here: how they were measured (`measure_functions`), which runs count (`measured`).

What the model has learnt (three numbers, `tuner.bandwidth.Kernel`) is learnt anew for each family
from all the others, so no function is predicted with anything that was learnt from it or its kin.
"""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from bench.measured import Run
from bench.tuning_scores import Score, Trial, score
from tuner.anatomy import Anatomy, dissect, predict_us
from tuner.bandwidth import KERNEL, MB_PER_CORE, Kernel

RUNS = 20
RUNS_MIN = 10
LARGE_MB = 256
_GRID = [
    Kernel(*values)
    for values in itertools.product(
        (1_500.0, 1_750.0, 2_000.0, 2_250.0, 2_500.0, 3_000.0),
        (0.0, 0.03, 0.06, 0.09, 0.12),
        (1.0, 2.0, 4.0, 8.0),
    )
]


class Measured(NamedTuple):
    """A function and an input: its runs by size."""

    name: str
    family: str
    sizes: Mapping[int, Sequence[Run]]


def group(runs: Sequence[Run]) -> list[Measured]:
    """By function. Sizes with a handful of runs only are left out, and told by nobody else."""
    found: dict[tuple[str, str], dict[int, list[Run]]] = {}
    for run in runs:
        sizes = found.setdefault((run.function, run.family), {})
        sizes.setdefault(run.memory_mb, []).append(run)
    kept = [
        Measured(name, family, {mb: of for mb, of in sorted(sizes.items()) if len(of) >= RUNS_MIN})
        for (name, family), sizes in found.items()
    ]
    return [one for one in kept if len(one.sizes) > 1]


def score_measured(functions: Sequence[Measured]) -> list[Score]:
    """The table: bases of 256 MB and up together, each base alone, each family alone."""
    by_family = {}
    for family in dict.fromkeys(one.family for one in functions):
        kernel = learn([one for one in functions if one.family != family])
        own = [one for one in functions if one.family == family]
        by_family[family] = [trial for one in own for trial in try_all(one, kernel)]
    trials = [trial for of in by_family.values() for trial in of]
    bases = sorted({base for _, base in trials})
    large = [trial for trial, base in trials if base >= LARGE_MB]
    plain = [trial for one in functions for trial, base in try_all(one, None) if base >= LARGE_MB]
    return [
        score("measured, from one size of 256 MB and up", large),
        score("  the same by waiting + CPU / share", plain),
        *(
            score(f"measured, from {base} MB", [one for one, from_mb in trials if from_mb == base])
            for base in bases
        ),
        *(
            score(f"measured, family {family}", [one for one, base in of if base >= LARGE_MB])
            for family, of in by_family.items()
            if any(base >= LARGE_MB for _, base in of)
        ),
    ]


def try_all(function: Measured, kernel: Kernel | None) -> list[tuple[Trial, int]]:
    """The function predicted from each of its sizes, and that size; plainly without a kernel."""
    actual = {
        size: _average(runs, lambda run: run.run_us) / 1_000
        for size, runs in function.sizes.items()
    }
    trials = []
    for base, all_runs in function.sizes.items():
        runs = all_runs[:RUNS]
        cpu_us = _average(runs, lambda run: run.cpu_user_us + run.cpu_system_us)
        throttled_us = _average(runs, lambda run: run.throttled_us)
        run_us = _average(runs, lambda run: run.run_us)
        anatomy = dissect(base, runs[0].period_us, run_us, (cpu_us, throttled_us), kernel or KERNEL)
        predict = partial(predict_us, anatomy, kernel=kernel) if kernel else _make_plain(anatomy)
        predicted = {size: predict(size) / 1_000 for size in actual}
        name = f"{function.name} from {base}"
        trials.append((Trial(name, frozenset([base]), predicted, actual), base))
    return trials


def _average(runs: Sequence[Run], read: Callable[[Run], int]) -> float:
    """The mean over the inputs of the mean of each: the runs that count are not of one mix."""
    by_input: dict[float, list[int]] = {}
    for run in runs:
        by_input.setdefault(run.size, []).append(read(run))
    return statistics.fmean(statistics.fmean(of_input) for of_input in by_input.values())


def _make_plain(anatomy: Anatomy) -> Callable[[int], float]:
    """The usual model: waiting stays, CPU time is divided by the share."""
    work = anatomy.work

    def predict(memory_mb: int) -> float:
        return work.waiting_us + work.cpu_us / min(memory_mb / MB_PER_CORE, work.cores)

    return predict


def learn(functions: Sequence[Measured]) -> Kernel:
    """The numbers of the grid that predict `functions` best from the usual sizes."""

    def miss(kernel: Kernel) -> float:
        errors = [
            error
            for one in functions
            for trial, base in try_all(one, kernel)
            if base >= LARGE_MB
            for error in trial.errors
        ]
        return statistics.fmean(errors)

    return min(_GRID, key=miss) if functions else Kernel()
