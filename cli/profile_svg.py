"""The profile of one invocation as an SVG picture. Pure, no library: it is text.

Not here: what is in it (`profile_view`).
"""

from collections.abc import Iterator
from html import escape

from profiler.view import Curve, View, format_us

_WIDTH = 760
_MARGIN = 24
_INNER = _WIDTH - 2 * _MARGIN
_CHART = 110
_COLOURS = {  # told apart in grey and by eyes that miss red or green (after Okabe and Ito)
    "on_cpu_us": "#009e73",
    "throttled_us": "#d55e00",
    "run_queue_us": "#cc79a7",
    "block_io_us": "#e69f00",
    "memory_pressure_us": "#882255",
    "waiting_us": "#56b4e9",
    "unattributed_us": "#bbbbbb",
}
_CURVES = {"memory": "#0072b2", "CPU": "#009e73"}


def draw_svg(view: View) -> str:
    """A whole document."""
    body: list[str] = [_text(_MARGIN, 36, view.title, "title")]
    y = 56.0
    if view.parts:
        body += _draw_bar(view, y)
        y += 46
        body += _draw_legend(view, y)
        y += 22 * len(view.parts) + 10
    for name, text in view.facts:
        body.append(_text(_MARGIN, y + 12, name, "name"))
        body.append(_text(_MARGIN + 84, y + 12, text, "fact"))
        y += 20
    for curve in view.curves:
        body += _draw_curve(curve, y + 16, view.run_us / 1000)
        y += _CHART + 62
    height = y + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" role="img">\n'
        f"<title>{escape(view.title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:16px}"
    ".name{fill:#666}.right{text-anchor:end}.small{font-size:11px;fill:#666}"
)


def _draw_bar(view: View, y: float) -> Iterator[str]:
    x = float(_MARGIN)
    for part in view.parts:
        width = part.us / max(view.run_us, 1) * _INNER
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="30" '
            f'fill="{_COLOURS[part.key]}"><title>{escape(part.name)}</title></rect>'
        )
        x += width


def _draw_legend(view: View, y: float) -> Iterator[str]:
    for row, part in enumerate(view.parts):
        top = y + row * 22
        colour = _COLOURS[part.key]
        share = part.us / max(view.run_us, 1)
        yield f'<rect x="{_MARGIN}" y="{top}" width="13" height="13" fill="{colour}"/>'
        yield _text(_MARGIN + 22, top + 11, part.name)
        yield _text(_MARGIN + 230, top + 11, format_us(part.us), "right")
        yield _text(_MARGIN + 300, top + 11, f"{share:.1%}", "right")
        if part.meaning:
            yield _text(_MARGIN + 324, top + 11, part.meaning, "name")


def _draw_curve(curve: Curve, y: float, run_ms: float) -> Iterator[str]:
    top = max(amount for _, amount in curve.points) or 1.0
    base = y + 20 + _CHART
    places = [
        f"{_MARGIN + at_ms / max(run_ms, 0.001) * _INNER:.1f},{base - amount / top * _CHART:.1f}"
        for at_ms, amount in curve.points
    ]
    colour = _CURVES.get(curve.name, "#444444")
    first, last = places[0].split(",")[0], places[-1].split(",")[0]
    yield _text(_MARGIN, y + 10, curve.describe())
    yield (
        f'<polygon points="{first},{base} {" ".join(places)} {last},{base}" '
        f'fill="{colour}" fill-opacity="0.18"/>'
    )
    line = f'fill="none" stroke="{colour}" stroke-width="1.8"'
    yield f'<polyline points="{" ".join(places)}" {line}/>'
    yield f'<path d="M{_MARGIN} {base}H{_WIDTH - _MARGIN}" stroke="#999"/>'
    yield _text(_MARGIN, base + 15, "0", "small")
    yield _text(_WIDTH - _MARGIN, base + 15, format_us(round(run_ms * 1000)), "small right")


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
