"""The profile of one invocation as a picture of letters, for a terminal. Pure.

Not here: what is in it (`profile_view`).
"""

from collections.abc import Iterator

import click

from profiler.view import Curve, Part, View, format_us

WIDTH = 64
_ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LOOKS = {  # a letter of its own for each, so that it reads without colours too
    "on_cpu_us": ("█", "green"),
    "throttled_us": ("▓", "red"),
    "run_queue_us": ("▒", "magenta"),
    "block_io_us": ("▞", "yellow"),
    "memory_pressure_us": ("▚", "bright_red"),
    "waiting_us": ("░", "blue"),
    "unattributed_us": ("·", "white"),
}


def draw_text(view: View) -> str:
    """Several lines; with the terminal's colours, which `click.echo` takes away for a file."""
    lines = [click.style(view.title, bold=True), ""]
    if view.parts:
        lines += [draw_bar(view.parts, WIDTH), *draw_legend(view.parts, view.run_us), ""]
    lines += [f"{name:<10}{text}" for name, text in view.facts]
    for curve in view.curves:
        lines += ["", *draw_curve(curve, WIDTH, view.run_us / 1000)]
    return "\n".join(lines)


def draw_bar(parts: tuple[Part, ...], width: int) -> str:
    """All parts in one line of that width; the smallest has a letter."""
    return "".join(
        click.style(_LOOKS[part.key][0] * length, fg=_LOOKS[part.key][1])
        for part, length in zip(parts, share_out([part.us for part in parts], width), strict=True)
    )


def share_out(amounts: list[int], width: int) -> list[int]:
    """Whole letters in proportion, at least one each, that fill the width (parts < width)."""
    total = sum(amounts)
    lengths = [max(1, amount * width // total) for amount in amounts]
    order = sorted(range(len(amounts)), key=lambda index: amounts[index], reverse=True)
    while (left := width - sum(lengths)) != 0:
        lengths[order[0]] += 1 if left > 0 else -1
    return lengths


def draw_legend(parts: tuple[Part, ...], run_us: int) -> Iterator[str]:
    """A line for each part."""
    for part in parts:
        letter, colour = _LOOKS[part.key]
        share = part.us / run_us if run_us else 0.0
        line = f"{part.name:<16}{format_us(part.us):>10}{share:>8.1%}"
        yield f"{click.style(letter, fg=colour)} {line}   {part.meaning}".rstrip()


def draw_curve(curve: Curve, width: int, run_ms: float) -> Iterator[str]:
    """A name, rows of columns, and the axis of time."""
    columns = sample_columns(curve, width, run_ms)
    top = max(columns) or 1.0
    yield curve.describe()
    for row in reversed(range(_ROWS)):
        cells = [round(column / top * _ROWS * 8) - row * 8 for column in columns]
        yield "".join(_EIGHTHS[min(max(cell, 0), 8)] for cell in cells).rstrip()
    end = format_us(round(run_ms * 1000))
    yield "0" + end.rjust(width - 1)


def sample_columns(curve: Curve, width: int, run_ms: float) -> list[float]:
    """The highest point within each column's time, else the one before it; 0 before the first."""
    columns, last, position = [], 0.0, 0
    for column in range(width):
        until_ms = run_ms * (column + 1) / width
        highest = last if position else 0.0
        found = []
        while position < len(curve.points) and curve.points[position][0] <= until_ms:
            found.append(curve.points[position][1])
            position += 1
        last = found[-1] if found else last
        columns.append(max(found) if found else highest)
    return columns
