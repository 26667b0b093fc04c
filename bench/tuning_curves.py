"""Curves of which only durations are known: real AWS functions, and the negative control.

Not here: what is measured by ourselves (`tuning_measured`).
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.tuning_scores import Score, Trial, score
from shared.events import Limits
from tuner.choice import choose_size
from tuner.curve import estimate_curve, predict_run_us
from tuner.knee import fit_knee, predict
from tuner.samples import SizeSamples, Sums, add_run

Curves = Mapping[str, Mapping[int, float]]
Pick = Callable[[Sequence[int]], list[int]]
_DOUBT = 1.02


class Control(NamedTuple):
    """The negative control: CPU that does not depend on memory."""

    scores: list[Score]  # by suite
    promises: int  # advised a larger size as a saving


def read_curves(path: Path) -> Curves:
    """Mean duration in ms by function and size; the columns of aws-curves."""
    curves: dict[str, dict[int, float]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            text = row["duration_mean_ms"] or row["duration_median_ms"]
            name = f"{row['dataset']}/{row['function']}"
            curves.setdefault(name, {})[int(float(row["memory_mb"]))] = float(text)
    return {name: curve for name, curve in curves.items() if len(curve) > 3}


def pick_two(sizes: Sequence[int]) -> list[int]:
    """The sizes nearest to 256 and 1024 MB."""
    picked = {_find_nearest(sizes, 256), _find_nearest(sizes, 1_024)}
    return sorted(picked) if len(picked) == 2 else list(sizes[:2])


def pick_three(sizes: Sequence[int]) -> list[int]:
    """The smallest, the one after the first third, the largest; as Parrotfish does."""
    return [sizes[0], sizes[-(-len(sizes) // 3)], sizes[-1]]


def score_curves(curves: Curves) -> list[Score]:
    """From two and from three sizes to all others."""
    return [
        score("aws-curves, two sizes (256, 1024)", try_curves(curves, pick_two, 1.0)),
        score("aws-curves, three sizes", try_curves(curves, pick_three, _DOUBT)),
    ]


def try_curves(curves: Curves, pick: Pick, doubt: float) -> list[Trial]:
    """Each curve predicted from the sizes that `pick` takes of it."""
    trials = []
    for name, curve in curves.items():
        sizes = sorted(curve)
        seen = {size: curve[size] for size in pick(sizes)}
        knee = fit_knee(seen)
        predicted = {size: predict(knee, size) for size in sizes}
        trials.append(Trial(name, frozenset(seen), predicted, curve, doubt))
    return trials


def read_control(path: Path) -> dict[str, dict[int, list[int]]]:
    """Runs in us by suite, function, repetition and size, where memory was never short.

    Limits above 1.5 x the usual peak. The repetitions of functionbench differ in payload. polars
    reads Parquet: `pip install "hearth[columns]"`.
    """
    import polars as pl  # noqa: PLC0415 # an optional dependency

    runs: dict[str, dict[int, list[int]]] = {}
    rows = pl.read_parquet(path)
    rows = rows.filter(pl.col("memory_mb") <= 3_008)  # larger ones ran on another host
    peaks = rows.group_by("function", "rep").agg(pl.col("maxRss").median().alias("peak"))
    rows = rows.join(peaks, on=["function", "rep"]).filter(
        pl.col("memory_mb") * 1024 > 1.5 * pl.col("peak")
    )
    for suite, function, rep, memory_mb, duration_ms in rows.select(
        "suite", "function", "rep", "memory_mb", "duration"
    ).iter_rows():
        sizes = runs.setdefault(f"{suite}/{function}/{rep}", {})
        sizes.setdefault(int(memory_mb), []).append(int(duration_ms * 1_000))
    return {name: sizes for name, sizes in runs.items() if len(sizes) > 1}


def score_control(runs: Mapping[str, Mapping[int, Sequence[int]]]) -> Control:
    """One size to all others through the tuner's own curve and choice, with a fixed quota."""
    trials, promises = [], 0
    for name, sizes in runs.items():
        actual = {size: _find_median(of_size) / 1_000 for size, of_size in sizes.items()}
        for base in sizes:
            limits = Limits(memory_mb=base, timeout_ms=1, cpu_quota_us=100_000,
                            cpu_period_us=100_000)  # fmt: skip
            sums = add_run(Sums(), int(actual[base] * 1_000), 0, (int(actual[base] * 1_000), 0))
            samples = SizeSamples(memory_mb=base, cpu_quota_us=100_000, cpu_period_us=100_000,
                                  warm=sums)  # fmt: skip
            curve = estimate_curve((samples,), limits)
            assert curve is not None
            predicted = {size: predict_run_us(curve, size) / 1_000 for size in actual}
            trials.append(Trial(f"{name} from {base}", frozenset([base]), predicted, actual))
            promises += choose_size(128, base, curve).memory_mb > base
    suites = sorted({trial.name.partition("/")[0] for trial in trials})
    scores = [
        score(f"control, {suite}", [one for one in trials if one.name.startswith(f"{suite}/")])
        for suite in suites
    ]
    return Control(scores, promises)


def _find_nearest(sizes: Sequence[int], wanted: int) -> int:
    return min(sizes, key=lambda size: (abs(math.log(size / wanted)), size))


def _find_median(runs: Sequence[int]) -> float:
    ordered = sorted(runs)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
