"""Duration by memory where only durations are known: a knee through two or more sizes.

For platforms that tell no CPU time, such as Lambda's own reports. Not here: what uses CPU time
(`anatomy`), the choice among the two (`curve`).

Waiting and CPU time overlap in part, and what is CPU-bound at a small size waits at a large one.
So the curve is the root of the sum of squares: d(m)^2 = W^2 + (C / share)^2, W and C from least
squares of relative errors, never negative. What is left over at the sizes seen is kept there, and
between them by interpolation over log m. Above the largest size seen the predicted gain is taken to
the power of 3/4, unless nearly all of it is CPU time: the gain of public curves was less than a
curve through their smaller sizes promised.

IEEE arithmetic and square roots only, no logarithm of a C library: the same bits everywhere.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import frexp, sqrt
from typing import NamedTuple

MB_PER_CORE = 1769
_WAITING_SQUARED_MIN = 0.1  # of the square of the duration; below, all of it is CPU time
_LN_2, _LN_075 = 0.6931471805599453, -0.2876820724517809


class Knee(NamedTuple):
    """The squares of waiting and CPU time, and measured over fitted at each size seen."""

    waiting_squared: float
    cpu_squared: float
    measured: tuple[tuple[int, float], ...]  # size, duration; ascending


def fit_knee(durations: Mapping[int, float]) -> Knee:
    """The knee through durations (any unit, above 0) by size in MB; at least one."""
    points = [(1 / d**2, _cpu_factor(m) / d**2) for m, d in durations.items()]
    one = sum([x * x for x, _ in points])
    both = sum([x * y for x, y in points])
    two = sum([y * y for _, y in points])
    x_sum, y_sum = sum([x for x, _ in points]), sum([y for _, y in points])
    determinant = one * two - both * both
    waiting, cpu = x_sum / one, 0.0
    if determinant > 1e-12 * one * two:
        waiting = (x_sum * two - both * y_sum) / determinant
        cpu = (one * y_sum - both * x_sum) / determinant
        if waiting < 0:
            waiting, cpu = 0.0, y_sum / two
        elif cpu < 0:
            waiting, cpu = x_sum / one, 0.0
    return Knee(waiting, cpu, tuple(sorted(durations.items())))


def predict(knee: Knee, memory_mb: int) -> float:
    """The duration at a size, in the unit of those seen; at a size seen what was measured."""
    measured = knee.measured
    base = _evaluate(knee, memory_mb)
    first_mb, first = measured[0]
    last_mb, last = measured[-1]
    if memory_mb <= first_mb:
        return first * base / _evaluate(knee, first_mb)
    if memory_mb >= last_mb:
        fitted = _evaluate(knee, last_mb)
        waits = knee.waiting_squared > _WAITING_SQUARED_MIN * fitted * fitted
        gain = base / fitted
        return last * (sqrt(gain * sqrt(gain)) if waits else gain)
    for (low_mb, low), (high_mb, high) in pairwise(measured):
        if memory_mb <= high_mb:
            part = logarithm(memory_mb / low_mb) / logarithm(high_mb / low_mb)
            left = low / _evaluate(knee, low_mb)
            right = high / _evaluate(knee, high_mb)
            return base * (left + part * (right - left))
    raise AssertionError("a size between the first and the last lies between two of them")


def logarithm(x: float) -> float:
    """The natural logarithm of x > 0, to twelve digits, from arithmetic alone."""
    mantissa, exponent = frexp(x)  # 0.5 <= mantissa < 1
    z = (mantissa - 0.75) / (mantissa + 0.75)
    term = total = z
    for odd in range(3, 19, 2):
        term *= z * z
        total += term / odd
    return 2 * total + _LN_075 + exponent * _LN_2


def _evaluate(knee: Knee, memory_mb: int) -> float:
    return sqrt(knee.waiting_squared + knee.cpu_squared * _cpu_factor(memory_mb))


def _cpu_factor(memory_mb: int) -> float:
    share = min(memory_mb / MB_PER_CORE, 1.0)
    return 1 / (share * share)
