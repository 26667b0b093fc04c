"""How peak and duration grow with the input: sums for a straight line, integers that add up.

Not here: what is made of it (`floor`, `findings`).
"""

from typing import NamedTuple

from msgspec import Struct

_COUNT_MIN = 20
_SHARE_EXPLAINED_MIN = 0.5  # of the variance; less is no dependence that one may lean on


class InputSums(Struct, frozen=True, array_like=True):
    """Over invocations whose input size is known. x: input bytes, y: what is explained by it."""

    count: int = 0
    x: int = 0
    xx: int = 0
    peak_kib: int = 0
    peak_squared: int = 0
    x_peak: int = 0
    run_us: int = 0
    run_squared: int = 0
    x_run: int = 0
    x_max: int = 0


class Line(NamedTuple):
    """y = base + slope * input bytes."""

    base: float
    slope: float
    explained: float  # share of the variance, 0 to 1


def add_input(sums: InputSums, input_bytes: int, peak_bytes: int, run_us: int) -> InputSums:
    """One more invocation."""
    peak_kib = peak_bytes >> 10
    return InputSums(
        sums.count + 1,
        sums.x + input_bytes,
        sums.xx + input_bytes * input_bytes,
        sums.peak_kib + peak_kib,
        sums.peak_squared + peak_kib * peak_kib,
        sums.x_peak + input_bytes * peak_kib,
        sums.run_us + run_us,
        sums.run_squared + run_us * run_us,
        sums.x_run + input_bytes * run_us,
        max(sums.x_max, input_bytes),
    )


def merge_inputs(one: InputSums, other: InputSums) -> InputSums:
    """Both together."""
    return InputSums(
        one.count + other.count,
        one.x + other.x,
        one.xx + other.xx,
        one.peak_kib + other.peak_kib,
        one.peak_squared + other.peak_squared,
        one.x_peak + other.x_peak,
        one.run_us + other.run_us,
        one.run_squared + other.run_squared,
        one.x_run + other.x_run,
        max(one.x_max, other.x_max),
    )


def fit_peak(sums: InputSums) -> Line | None:
    """Peak in KiB by input bytes, where the data shows that it grows with them; else None."""
    return _fit(sums, sums.peak_kib, sums.peak_squared, sums.x_peak)


def fit_run(sums: InputSums) -> Line | None:
    """Duration in microseconds by input bytes; None where the data does not show it."""
    return _fit(sums, sums.run_us, sums.run_squared, sums.x_run)


def _fit(sums: InputSums, y: int, yy: int, xy: int) -> Line | None:
    count = sums.count
    # Integers up to here: the differences of large products are exact.
    spread_x, spread_y = count * sums.xx - sums.x * sums.x, count * yy - y * y
    together = count * xy - sums.x * y
    if count < _COUNT_MIN or spread_x <= 0 or spread_y <= 0 or together <= 0:
        return None
    explained = together / spread_x * (together / spread_y)
    if explained < _SHARE_EXPLAINED_MIN:
        return None
    slope = together / spread_x
    return Line((y - slope * sums.x) / count, slope, explained)
