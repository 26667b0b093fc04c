"""Charts as SVG that fills its place: fluid at any width, in the theme's colours. Pure.

Not here: what is drawn. Places are in percent and lines in a stretched picture inside, so texts and
dots keep their size from a phone to a wide screen. Colours are classes of `static/console.css`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape

_INNER = 1_000


@dataclass(frozen=True)
class Tick:
    """A text at an axis; `at` is from 0 (left, below) to 1."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """Points from 0 to 1 in both directions, in the order in which they are joined."""

    kind: str
    points: Sequence[tuple[float, float]]
    filled: bool = False


@dataclass(frozen=True)
class Dot:
    """A point with words for whoever points at it."""

    kind: str
    x: float
    y: float
    text: str = ""


@dataclass(frozen=True)
class Box:
    """A part of the plot, from left to right and from below to above."""

    kind: str
    x: tuple[float, float]
    y: tuple[float, float] = (0.0, 1.0)
    text: str = ""


@dataclass(frozen=True)
class Mark:
    """An upright line with a name."""

    kind: str
    x: float
    text: str
    row: int = 0


@dataclass(frozen=True)
class Chart:
    """All of a picture. `text` is what it says to those who do not see it."""

    text: str
    height: int = 180
    left: Sequence[Tick] = ()
    right: Sequence[Tick] = ()
    below: Sequence[Tick] = ()
    boxes: Sequence[Box] = ()
    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    marks: Sequence[Mark] = ()


def draw(chart: Chart) -> Markup:
    """The picture, ready to stand in a page."""
    parts = [
        *(_draw_grid(tick) for tick in chart.left),
        *(_draw_box(box) for box in chart.boxes),
        _draw_lines(chart.lines),
        *(_draw_mark(mark) for mark in chart.marks),
        *(_draw_dot(dot) for dot in chart.dots),
        *_draw_ticks(chart),
    ]
    kinds = "chart both" if chart.right else "chart"
    return Markup(
        f'<div class="{kinds}"><svg width="100%" height="{chart.height}" role="img" '
        f'aria-label="{escape(chart.text)}">{"".join(parts)}</svg></div>'
    )


def draw_bar(parts: Iterable[tuple[str, float, str]], text: str) -> Markup:
    """One bar of parts: kind, share of the whole, name."""
    rects, left = [], 0.0
    for kind, share, name in parts:
        rects.append(
            f'<rect class="part {escape(kind)}" x="{left * 100:.2f}%" y="0" height="100%" '
            f'width="{share * 100:.2f}%"><title>{escape(name)}</title></rect>'
        )
        left += share
    return Markup(
        f'<svg class="bar" width="100%" height="26" role="img" aria-label="{escape(text)}">'
        f"{''.join(rects)}</svg>"
    )


def draw_stretch(kind: str, begins: float, share: float) -> Markup:
    """A line of a waterfall; never so short that it cannot be seen."""
    return Markup(
        '<svg class="stretch" width="100%" height="14" aria-hidden="true">'
        f'<rect class="part {escape(kind)}" x="{min(begins, 0.995) * 100:.2f}%" y="0" rx="2" '
        f'width="{max(share, 0.005) * 100:.2f}%" height="100%"/></svg>'
    )


def make_scale(highest: float, steps: int = 4) -> list[float]:
    """Round numbers from 0 to just above the highest, at most `steps` + 1 of them."""
    if highest <= 0:
        return [0.0, 1.0]
    power = 10.0
    while power > highest / steps:
        power /= 10
    while power * 10 <= highest / steps:
        power *= 10
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power * steps >= highest)
    count = int(highest / step - 1e-9) + 1
    return [step * number for number in range(count + 1)]


def make_ticks(scale: Sequence[float], unit: str = "", sign: str = "") -> list[Tick]:
    """Texts along an axis that begins at 0; the unit stands at the highest, a sign at each."""
    ticks = [Tick(value / scale[-1], f"{sign}{value:,g}") for value in scale]
    return [*ticks[:-1], Tick(1.0, f"{ticks[-1].text} {unit}".rstrip())]


def make_decades(
    lowest: float, highest: float, describe: Callable[[float], str]
) -> tuple[list[Tick], Callable[[float], float]]:
    """A logarithmic axis of whole powers of ten: its texts, and where a value lies on it."""
    first, last = floor(log10(lowest)), ceil(log10(highest))
    last = max(last, first + 1)
    ticks = [
        Tick((power - first) / (last - first), describe(10.0**power))
        for power in range(first, last + 1)
    ]
    return ticks, lambda value: (log10(value) - first) / (last - first)


def _percent(at: float) -> str:
    return f"{min(max(at, 0.0), 1.0) * 100:.2f}%"


def _draw_grid(tick: Tick) -> str:
    y = _percent(1 - tick.at)
    return f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'


def _draw_box(box: Box) -> str:
    (left, right), (low, high) = box.x, box.y
    title = f"<title>{escape(box.text)}</title>" if box.text else ""
    return (
        f'<rect class="{escape(box.kind)}" x="{_percent(left)}" y="{_percent(1 - high)}" '
        f'width="{_percent(right - left)}" height="{_percent(high - low)}">{title}</rect>'
    )


def _draw_lines(lines: Sequence[Line]) -> str:
    drawn = []
    for line in lines:
        places = " ".join(
            f"{x * _INNER:.0f},{(1 - min(max(y, 0.0), 1.0)) * _INNER:.0f}" for x, y in line.points
        )
        tag = "polygon" if line.filled else "polyline"
        drawn.append(f'<{tag} class="{escape(line.kind)}" points="{places}"/>')
    return (
        f'<svg width="100%" height="100%" viewBox="0 0 {_INNER} {_INNER}" '
        f'preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )


def _draw_mark(mark: Mark) -> str:
    x, kind = _percent(mark.x), escape(mark.kind)
    right = mark.x > 0.6
    anchor = "end" if right else "start"
    return (
        f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
        f'<text class="{kind}" x="{x}" dx="{-6 if right else 6}" y="{14 + 16 * mark.row}" '
        f'text-anchor="{anchor}">{escape(mark.text)}</text>'
    )


def _draw_dot(dot: Dot) -> str:
    title = f"<title>{escape(dot.text)}</title>" if dot.text else ""
    return (
        f'<circle class="{escape(dot.kind)}" cx="{_percent(dot.x)}" cy="{_percent(1 - dot.y)}" '
        f'r="4">{title}</circle>'
    )


def _draw_ticks(chart: Chart) -> Iterable[str]:
    for tick in chart.left:
        yield _write("tick end", "0", _percent(1 - tick.at), tick.text, 'dx="-8" dy="4"')
    for tick in chart.right:
        yield _write("tick", "100%", _percent(1 - tick.at), tick.text, 'dx="8" dy="4"')
    for number, tick in enumerate(chart.below):
        kind = "tick middle" if 0.02 < tick.at < 0.98 else "tick"
        kind += " end" if tick.at >= 0.98 else ""
        # Every other one has no room on a phone.
        kind += " extra" if (len(chart.below) - 1 - number) % 2 and number else ""
        yield _write(kind, _percent(tick.at), "100%", tick.text, 'dy="18"')


def _write(kind: str, x: str, y: str, text: str, place: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" {place}>{escape(text)}</text>'
