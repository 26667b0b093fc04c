"""The report as a picture: SVG, one file, no script, readable in light and dark surroundings.

Not here: what is shown (`report`). Memory is drawn on a logarithmic axis, because sizes are chosen
by doubling; duration and cost share the height, each with its own axis.
"""

from collections.abc import Callable, Sequence
from html import escape

from tuner.knee import logarithm
from tuner.report import Point, Report

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 690, 96, 372
_DURATION, _COST, _INK, _PALE = "#1f6fb2", "#c2571a", "#222222", "#6b6b6b"
_TICKS_MB = (128, 256, 512, 1_024, 2_048, 4_096, 10_240)
_CENT_USD = 0.01
_STEPS = (1, 2, 2.5, 5)
_GOOD = 'fill="#2c8a4b" fill-opacity="0.13"'
_SHORT = 'fill="#b03030" fill-opacity="0.10"'

Scale = Callable[[float], float]


def draw(report: Report) -> str:
    """The picture as text."""
    points = report.curve
    x = _make_x(points[0].memory_mb, points[-1].memory_mb)
    durations = _make_axis(max(point.duration_ms_max for point in points))
    costs = _make_axis(max(point.usd_per_million for point in points))
    y_duration, y_cost = _make_y(durations[-1]), _make_y(costs[-1])
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" font-family="Helvetica, Arial, sans-serif" '
            f'font-size="12" fill="{_INK}">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_draw_title(report),
        *_draw_advice_band(report, x),
        *_draw_grid(durations, costs, y_duration),
        *_draw_sizes(points, x),
        _draw_interval(points, x, y_duration),
        _draw_line([(x(p.memory_mb), y_duration(p.duration_ms)) for p in points], _DURATION),
        _draw_line(
            [(x(p.memory_mb), y_cost(p.usd_per_million)) for p in points], _COST, dashed=True
        ),
        *_draw_seen(report.seen, x, y_duration, y_cost),
        *_draw_marks(report, x),
        *_draw_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _make_x(first_mb: int, last_mb: int) -> Scale:
    width = logarithm(last_mb / first_mb) or 1.0
    return lambda mb: _LEFT + (_RIGHT - _LEFT) * logarithm(mb / first_mb) / width


def _make_y(top: float) -> Scale:
    return lambda value: _BOTTOM - (_BOTTOM - _TOP) * value / top


def _make_axis(highest: float) -> list[float]:
    """Round numbers from 0 to just above the highest."""
    power = 1.0
    while power * 10 <= highest:
        power *= 10
    while power > highest:
        power /= 10
    step = next((power * one / 2 for one in _STEPS if power * one / 2 * 5 >= highest), power * 2.5)
    count = int(highest / step) + (highest % step > 0)
    return [step * number for number in range(max(count, 1) + 1)]


def _draw_title(report: Report) -> list[str]:
    advice = (
        f"Advised: {report.memory_mb} MB instead of {report.limit_mb} MB, {_describe(report)}"
        if report.memory_mb != report.limit_mb
        else f"Advised: stay at {report.limit_mb} MB"
    )
    ground = (
        f"{report.invocations:,} invocations, peak {report.peak_mb:g} MB, confidence "
        f"{report.confidence}; objective {report.objective}, prices {report.price_book}"
    )
    return [
        _write(20, 28, escape(report.function_id), 'font-size="17" font-weight="bold"'),
        _write(20, 48, escape(advice)),
        _write(20, 66, escape(ground), f'fill="{_PALE}"'),
    ]


def _describe(report: Report) -> str:
    """What the change does to the bill."""
    usd = report.savings_monthly_usd
    sign = 1 if report.savings_percent >= 0 else -1
    percent = f"{report.savings_percent * sign:g} % of the compute price"
    percent = f"saves {percent}" if sign > 0 else f"costs {percent} more"
    if usd is None:
        return percent
    if usd * sign < _CENT_USD:
        return f"{percent}: less than a cent a month"
    ends = (report.savings_monthly_usd_min or usd, report.savings_monthly_usd_max or usd)
    low, high = sorted(sign * end for end in ends)
    return f"{percent}: ${usd * sign:,.2f} a month (${low:,.2f} to ${high:,.2f})"


def _write(left: float, top: float, text: str, style: str = "") -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" {style}>{text}</text>'


def _draw_advice_band(report: Report, x: Scale) -> list[str]:
    first, last = report.curve[0].memory_mb, report.curve[-1].memory_mb
    low, high = (
        x(min(max(mb, first), last)) for mb in (report.memory_mb_min, report.memory_mb_max)
    )
    width = max(high - low, 2)
    height = _BOTTOM - _TOP
    parts = [
        f'<rect x="{low:.1f}" y="{_TOP}" width="{width:.1f}" height="{height}" {_GOOD}/>',
    ]
    if report.floor_mb > first:
        edge = x(min(report.floor_mb, last))
        parts.append(
            f'<rect x="{_LEFT}" y="{_TOP}" width="{edge - _LEFT:.1f}" height="{height}" {_SHORT}/>'
        )
    return parts


def _draw_grid(durations: Sequence[float], costs: Sequence[float], y: Scale) -> list[str]:
    parts = []
    for value in durations:
        height = y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
            'stroke="#dddddd"/>'
            f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end" fill="{_DURATION}">'
            f"{value:g}</text>"
        )
    scale = _make_y(costs[-1])
    parts += [
        f'<text x="{_RIGHT + 8}" y="{scale(value) + 4:.1f}" fill="{_COST}">{value:g}</text>'
        for value in costs
    ]
    parts.append(
        f'<text x="{_LEFT}" y="{_TOP - 10}" text-anchor="middle" fill="{_DURATION}">ms</text>'
        f'<text x="{_RIGHT}" y="{_TOP - 10}" text-anchor="middle" fill="{_COST}">'
        "$ per million calls</text>"
    )
    return parts


def _draw_sizes(points: Sequence[Point], x: Scale) -> list[str]:
    first, last = points[0].memory_mb, points[-1].memory_mb
    return [
        f'<line x1="{x(mb):.1f}" x2="{x(mb):.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 5}" '
        f'stroke="{_PALE}"/>'
        f'<text x="{x(mb):.1f}" y="{_BOTTOM + 19}" text-anchor="middle">{mb} MB</text>'
        for mb in _TICKS_MB
        if first <= mb <= last
    ]


def _draw_interval(points: Sequence[Point], x: Scale, y: Scale) -> str:
    above = [f"{x(p.memory_mb):.1f},{y(p.duration_ms_max):.1f}" for p in points]
    below = [f"{x(p.memory_mb):.1f},{y(p.duration_ms_min):.1f}" for p in reversed(points)]
    return f'<polygon points="{" ".join(above + below)}" fill="{_DURATION}" fill-opacity="0.15"/>'


def _draw_line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    text = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'


def _draw_seen(seen: Sequence[Point], x: Scale, y_duration: Scale, y_cost: Scale) -> list[str]:
    return [
        f'<circle cx="{x(p.memory_mb):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}">'
        f"<title>{p.memory_mb} MB: {p.duration_ms:g} ms in {p.runs} runs</title></circle>"
        for p in seen
        for y, colour in (
            (y_duration(p.duration_ms), _DURATION),
            (y_cost(p.usd_per_million), _COST),
        )
    ]


def _draw_marks(report: Report, x: Scale) -> list[str]:
    """The advised size is named above the plot, the present one inside: they may be neighbours."""
    left = x(report.memory_mb)
    parts = [
        _draw_upright(left, "#2c8a4b"),
        _write(
            left,
            _TOP - 10,
            f"advised: {report.memory_mb} MB",
            f'text-anchor="{_anchor(left)}" fill="#2c8a4b"',
        ),
    ]
    if report.limit_mb != report.memory_mb:
        left = x(report.limit_mb)
        edge = -5 if report.limit_mb < report.memory_mb and left > _LEFT + 60 else 5
        anchor = "end" if edge < 0 else "start"
        style = f'text-anchor="{anchor}" fill="{_PALE}"'
        parts += [_draw_upright(left, _PALE), _write(left + edge, _TOP + 14, "now", style)]
    return parts


def _draw_upright(left: float, colour: str) -> str:
    return (
        f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="{colour}" '
        'stroke-width="1.5"/>'
    )


def _anchor(left: float) -> str:
    """Words at the edges stand beside the axes' names."""
    if left < _LEFT + 70:
        return "start"
    return "end" if left > _RIGHT - 130 else "middle"


def _draw_legend() -> list[str]:
    top = _HEIGHT - 18
    box = f'y="{top - 11}" width="14" height="12" fill-opacity="0.2"'
    line = f'y1="{top - 4}" y2="{top - 4}" stroke="{_COST}"'
    return [
        f'<circle cx="64" cy="{top - 4}" r="4.5" fill="{_DURATION}"/>',
        _write(74, top, "mean duration; dot: measured; shade: nine of ten calls"),
        f'<line x1="436" x2="460" {line} stroke-width="2" stroke-dasharray="6 4"/>',
        _write(466, top, "cost"),
        f'<rect x="512" {box} fill="#2c8a4b"/>',
        _write(532, top, "as good"),
        f'<rect x="596" {box} fill="#b03030"/>',
        _write(616, top, "too little memory"),
    ]
