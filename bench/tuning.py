"""`python -m bench.tuning`: how well the tuner predicts durations and chooses sizes.

Three sets of data: real AWS curves (only durations are known there, predicted from two and three of
their sizes), a negative control whose CPU does not depend on memory, and the functions measured
here (`bench/measured_functions.csv`), predicted from one size each.

--curves FILE scores any file with the columns of aws-curves, --measured FILE any with those of our
own measurements; then that alone. --json prints the table for programs.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.measured import FILE, is_usable, read_runs
from bench.tuning_backtest import Covered, walk_measured
from bench.tuning_curves import read_control, read_curves, score_control, score_curves
from bench.tuning_measured import group, score_measured
from bench.tuning_scores import Score

DATA = Path(__file__).parents[2] / "shared/data"
CURVES = DATA / "aws-curves/curves.csv"
CONTROL = DATA / "sizeless-openwhisk/invocations.parquet"
_HEADINGS = ("", "trials", "errors", "mean %", "median %", "p90 %", "regret %", "hits %")


def main(arguments: Sequence[str] | None = None) -> int:
    """Score what was asked for, else all that is at hand."""
    parser = argparse.ArgumentParser(prog="python -m bench.tuning")
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    named = (options.curves, options.measured, options.control)
    paths = named if any(named) else (CURVES, FILE, CONTROL)
    result = collect(*paths)
    if options.json:
        rows = {
            "scores": [score._asdict() for score in result.scores],
            "control_promises": result.promises,
            "backtest": [life._asdict() for life in result.lives],
        }
        print(json.dumps(rows, indent=1))
    else:
        print_result(result)
    return 0


class Result(NamedTuple):
    """Everything that is printed."""

    scores: list[Score]
    promises: int | None  # of the negative control
    lives: list[Covered]


def collect(curves: Path | None, measured: Path | None, control: Path | None) -> Result:
    """The scores of the files that are there; what is missing is said."""
    scores: list[Score] = []
    promises = None
    lives: list[Covered] = []
    if curves and _is_there(curves):
        scores += score_curves(read_curves(curves))
    if control and _is_there(control):
        negative = score_control(read_control(control))
        scores += negative.scores
        promises = negative.promises
    if measured and _is_there(measured):
        runs = [run for run in read_runs(measured) if is_usable(run)]
        functions = group(runs)
        scores += score_measured(functions)
        lives = walk_measured(functions)
    return Result(scores, promises, lives)


def print_result(result: Result) -> None:
    """For people."""
    scores = result.scores
    width = max((len(score.name) for score in scores), default=0)
    print(f"{_HEADINGS[0]:<{width}} ", *(f"{heading:>8}" for heading in _HEADINGS[1:]))
    for score in scores:
        print(f"{score.name:<{width}} ", *(f"{figure:>8}" for figure in score[1:]))
    if result.promises is not None:
        print(f"negative control: {result.promises} promises of a saving from a larger size")
    for life in result.lives:
        sizes = ", then ".join(map(str, life.sizes))
        print(
            f"back-test at {sizes} MB: {life.covered} % of {life.predictions} runs in the "
            f"interval, {life.violations} violations, regret {life.regret_mean} %"
        )


def _is_there(path: Path) -> bool:
    if not path.exists():
        print(f"{path} is not here: left out", file=sys.stderr)
    return path.exists()


if __name__ == "__main__":
    sys.exit(main())
