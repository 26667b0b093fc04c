"""Memory peaks against the limit over time, as a fluid chart. Pure.

Not here: which invocations (`function`).
"""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from console import charts
from console.words import describe_bytes, describe_time, describe_us
from tuner.facts import Facts

_MIB = 1 << 20


def draw_peaks(facts: Sequence[Facts]) -> Markup | None:
    """A dot for each call, the limit as a line of steps; None where nothing was measured."""
    measured = [one for one in facts if one.peak_bytes is not None]
    if not measured:
        return None
    first_ms, last_ms = measured[0].at_ms, measured[-1].at_ms
    highest = max(max(one.peak_bytes or 0, one.memory_mb * _MIB) for one in measured) / _MIB
    scale = charts.make_scale(highest)
    top = scale[-1]

    def x(at_ms: int) -> float:
        return (at_ms - first_ms) / (last_ms - first_ms) if last_ms > first_ms else 0.5

    peak = max(one.peak_bytes or 0 for one in measured)
    return charts.draw(
        charts.Chart(
            text=f"Memory peaks of {len(measured)} calls, at most {describe_bytes(peak)}, "
            f"under a limit of {measured[-1].memory_mb} MB",
            height=200,
            left=charts.make_ticks(scale, "MB"),
            below=[
                charts.Tick(0.0, _tell(first_ms)),
                charts.Tick(1.0, _tell(last_ms)),
            ],
            lines=[charts.Line("limit", _draw_limit(measured, x, top))],
            dots=[
                charts.Dot(
                    "lacking" if one.ran_out_of_memory else "memory",
                    x(one.at_ms),
                    (one.peak_bytes or 0) / _MIB / top,
                    f"{_tell(one.at_ms)}: {describe_bytes(one.peak_bytes)} of {one.memory_mb} MB, "
                    f"{describe_us(one.run_us)}",
                )
                for one in measured
            ],
        )
    )


def _draw_limit(
    facts: Sequence[Facts], x: Callable[[int], float], top: float
) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = [(0.0, facts[0].memory_mb / top)]
    for one in facts:
        if one.memory_mb / top != points[-1][1]:
            points += [(x(one.at_ms), points[-1][1]), (x(one.at_ms), one.memory_mb / top)]
    return [*points, (1.0, points[-1][1])]


def _tell(at_ms: int) -> str:
    return describe_time(at_ms).striptags()
