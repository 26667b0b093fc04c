"""Cost and duration of a function over memory, as a fluid chart. Pure.

Not here: the figures (`tuner.report`); the same picture as a file (`tuner.report_svg`).
"""

from collections.abc import Callable, Sequence
from math import log2

from markupsafe import Markup

from console import charts
from console.words import describe_us
from tuner.report import Point, Report

Scale = Callable[[float], float]


def draw_curve(report: Report) -> Markup:
    """Mean duration with its interval, cost, what was measured, the advice and its good range."""
    points = report.curve
    x = make_x(points)
    durations = charts.make_scale(max(point.duration_ms_max for point in points))
    costs = charts.make_scale(max(point.usd_per_million for point in points))
    slow, dear = durations[-1], costs[-1]
    interval = [
        *((x(p.memory_mb), p.duration_ms_max / slow) for p in points),
        *((x(p.memory_mb), p.duration_ms_min / slow) for p in reversed(points)),
    ]
    mean = [(x(p.memory_mb), p.duration_ms / slow) for p in points]
    cost = [(x(p.memory_mb), p.usd_per_million / dear) for p in points]
    return charts.draw(
        charts.Chart(
            text=describe(report),
            height=260,
            left=charts.make_ticks(durations, "ms"),
            right=charts.make_ticks(costs, sign="$"),
            below=_draw_sizes(points, x),
            boxes=_draw_ranges(report, x),
            lines=[
                charts.Line("interval", interval, filled=True),
                charts.Line("duration", mean),
                charts.Line("cost", cost),
            ],
            dots=_draw_seen(report.seen, x, slow, dear),
            marks=_draw_marks(report, x),
        )
    )


def describe(report: Report) -> str:
    """The picture in a sentence."""
    ends = report.curve[0], report.curve[-1]
    told = ", ".join(
        f"at {p.memory_mb} MB {describe_us(p.duration_ms * 1_000)} and "
        f"${p.usd_per_million:,.2f} a million calls"
        for p in ends
    )
    return f"Duration and cost over memory: {told}; advised {report.memory_mb} MB"


def make_x(points: Sequence[Point]) -> Scale:
    """Logarithmic, since sizes are chosen by doubling."""
    first, last = points[0].memory_mb, points[-1].memory_mb
    width = log2(last / first) or 1.0
    return lambda mb: min(max(log2(mb / first) / width, 0.0), 1.0)


def _draw_sizes(points: Sequence[Point], x: Scale) -> list[charts.Tick]:
    sizes = (128, 256, 512, 1_024, 2_048, 4_096, 8_192)
    return [
        charts.Tick(x(mb), f"{mb} MB" if mb < 1_024 else f"{mb // 1_024} GB")
        for mb in sizes
        if points[0].memory_mb <= mb <= points[-1].memory_mb
    ]


def _draw_ranges(report: Report, x: Scale) -> list[charts.Box]:
    low, high = x(report.memory_mb_min), x(report.memory_mb_max)
    boxes = [
        charts.Box("good", (low, max(high, low + 0.005)),
                   text=f"as good: {report.memory_mb_min} to {report.memory_mb_max} MB")
    ]  # fmt: skip
    if x(report.floor_mb) > 0:
        text = f"under {report.floor_mb} MB memory is too short"
        boxes.append(charts.Box("short", (0.0, x(report.floor_mb)), text=text))
    return boxes


def _draw_seen(seen: Sequence[Point], x: Scale, slow: float, dear: float) -> list[charts.Dot]:
    return [
        charts.Dot(
            kind,
            x(p.memory_mb),
            y,
            f"{p.memory_mb} MB: {describe_us(p.duration_ms * 1_000)}, "
            f"${p.usd_per_million:,.2f} a million, {p.runs:,} runs",
        )
        for p in seen
        for kind, y in (
            ("duration", p.duration_ms / slow),
            ("cost", p.usd_per_million / dear),
        )
    ]


def _draw_marks(report: Report, x: Scale) -> list[charts.Mark]:
    marks = [charts.Mark("advised", x(report.memory_mb), f"advised {report.memory_mb} MB")]
    if report.limit_mb != report.memory_mb:
        marks.append(charts.Mark("present", x(report.limit_mb), f"now {report.limit_mb} MB", 1))
    return marks
