"""How commands print: a table on a terminal or as plain text, JSON for programs.

Not here: what is printed. Colours and lines are for terminals: piped, a table is plain text in
columns, and nothing of it is cut. NO_COLOR is respected (by rich; for click's own, see `main`).
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

Row = Mapping[str, Any]


def open_screen(*, to_errors: bool = False) -> Console:
    """Where a command draws: standard output, or standard error for what is no result."""
    return Console(stderr=to_errors, highlight=False, emoji=False, markup=False)


def find_width() -> int:
    """Columns of the terminal; 0 where there is none, and nothing is to be folded."""
    screen = open_screen()
    return screen.width if screen.is_terminal else 0


def print_json(value: object) -> None:
    """One JSON value, for people's eyes too."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    """A table for people, or JSON; the last row is the total where there is one."""
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        return
    screen = open_screen()
    if not screen.is_terminal:
        click.echo("\n".join(write_table(rows)))
        return
    widths = measure(rows)
    for gap in (3, 2, 1):
        if sum(widths) + gap * (len(widths) - 1) <= screen.width:
            click.echo("\n".join(fold_table(rows, gap)))
            return
    click.echo("\n".join(write_records(rows)))


def measure(rows: Sequence[Row]) -> list[int]:
    """How wide each column must be: its longest figure, or the longest word of its heading."""
    return [
        max(
            *(len(word) for word in name.replace("_", " ").split(" ")),
            *(len(format_figure(row[name])) for row in rows),
        )
        for name in rows[0]
    ]


def fold_table(rows: Sequence[Row], gap: int) -> list[str]:
    """For a terminal: as narrow as the figures allow, headings in bold on as many lines."""
    widths = measure(rows)
    words = [
        textwrap.wrap(name.replace("_", " "), width)
        for name, width in zip(rows[0], widths, strict=True)
    ]
    height = max(map(len, words))
    headings = zip(*[[""] * (height - len(one)) + one for one in words], strict=True)
    figures = [[format_figure(row[name]) for name in rows[0]] for row in rows]
    return [
        *(click.style(_align(line, widths, gap), bold=True) for line in headings),
        *(_align(line, widths, gap) for line in figures),
    ]


def _align(texts: Sequence[str], widths: Sequence[int], gap: int) -> str:
    """The first to the left, the others to the right."""
    first, *others = zip(texts, widths, strict=True)
    cells = [f"{first[0]:<{first[1]}}", *(f"{text:>{width}}" for text, width in others)]
    return (" " * gap).join(cells).rstrip()


def write_records(rows: Sequence[Row]) -> list[str]:
    """For a terminal that is too narrow for a table: a line a figure."""
    width = max(map(len, rows[0])) + 2
    lines = []
    for row in rows:
        (first, heading), *figures = row.items()
        lines.append(click.style(f"{first.replace('_', ' '):<{width}}{heading}", bold=True))
        lines += [f"{name.replace('_', ' '):<{width}}{format_figure(one)}" for name, one in figures]
        lines.append("")
    return lines[:-1]


def write_table(rows: Sequence[Row]) -> list[str]:
    """For a file or a pipe: the same in columns of spaces."""
    names = list(rows[0])
    texts = [[format_figure(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *texts, strict=True)]
    return [_align(line, widths, 2) for line in (names, *texts)]


def format_figure(figure: object) -> str:
    """As people read it: thousands apart, `-` for what is not known."""
    if figure is None:
        return "-"
    if isinstance(figure, int) and not isinstance(figure, bool):
        return f"{figure:,}"
    if isinstance(figure, float) and 0 < abs(figure) < 0.001:  # dollars of a few calls
        return f"{figure:.9f}".rstrip("0").rstrip(".")
    return str(figure)
