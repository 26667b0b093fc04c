"""`hearth top`: what runs now, by function, until `q`.

Not here: the figures (`top_figures`). It draws on the terminal's other screen and gives back the
one that was there, with its settings, however it ends.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.command import Command, as_json_option
from cli.screen import open_screen, print_json, print_rows
from cli.top_figures import Window
from shared.codec import UndecodableError, decode
from shared.events import InvocationTuned
from shared.follower import Follower
from shared.inbox import LogUnavailableError
from shared.settings import Settings
from shared.topology import RECOMMENDATIONS

_BLOCK_MS = 200
_WIDE = 110  # columns from which on the advice is shown in words
_NAME_MAX = 24


@click.command(
    cls=Command,
    short_help="A live table of functions.",
    examples=(
        ("hearth top", "the last five minutes, live; q ends it"),
        ("hearth top --window 60", "the last minute"),
        ("hearth top --once --json", "once, for programs"),
    ),
)
@click.option("--window", "window_s", type=click.IntRange(1, 86_400), default=300,
              show_default=True, metavar="SECONDS",
              help="How far the figures look back.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print the table once, as where there is no terminal.")
@as_json_option
@click.pass_obj
def top(settings: Settings, /, *, window_s: int, once: bool, as_json: bool) -> None:
    """Show the functions that are called: rate, durations, errors, cold starts, memory, advice.

    Keys: q ends it. Piped, or with --once or --json, the table is printed once.
    """
    follower = Follower(settings.redis_address, settings.partitions, [RECOMMENDATIONS])
    window = Window(window_s)
    follower.start(_now_ms() - window_s * 1_000)
    while events := follower.read(0):
        window.add(_decode(events))
    if as_json:
        print_json(window.list_rows(_now_ms()))
    elif once or not open_screen().is_terminal:
        _print_once(window, window_s)
    else:
        _watch(follower, window, window_s)


def _print_once(window: Window, window_s: int) -> None:
    rows = window.list_rows(_now_ms())
    if not rows:
        click.echo(f"No call in the last {window_s} s.")
    print_rows([{key: row[key] for key in row if key != "advice"} for row in rows], as_json=False)


def _watch(follower: Follower, window: Window, window_s: int) -> None:
    screen = open_screen()
    trouble = ""
    with (
        suppress(KeyboardInterrupt),
        _reading_keys() as pressed,
        Live(console=screen, screen=True, auto_refresh=False) as live,
    ):
        while not pressed("q"):
            try:
                window.add(_decode(follower.read(_BLOCK_MS)))
                trouble = ""
            except LogUnavailableError as error:
                trouble = f"{error}; waiting for it"
                time.sleep(_BLOCK_MS / 1_000)
            rows = window.list_rows(_now_ms())
            live.update(draw(rows, window_s, screen.width, trouble), refresh=True)


def draw(rows: list[dict[str, Any]], window_s: int, width: int, trouble: str = "") -> Group:
    """The whole screen."""
    calls = sum(row["calls"] for row in rows)
    errors = sum(row["errors"] for row in rows)
    title = Text.assemble(
        ("hearth top", "bold"),
        f"  {time.strftime('%H:%M:%S')}  last {window_s} s: calls {calls:,}, errors ",
        (f"{errors:,}", "red" if errors else ""),
        ("   q ends", "dim"),
    )
    below = Text(trouble, "red") if trouble else Text("" if rows else "No call yet.")
    return Group(title, Text(), draw_functions(rows, width), below)


def draw_functions(rows: list[dict[str, Any]], width: int) -> Table:
    """The table; narrow terminals get the advised size instead of the advice in words."""
    table = Table(box=None, pad_edge=False, header_style="bold reverse", padding=(0, 2, 0, 0))
    table.add_column(
        "function", min_width=8, max_width=_NAME_MAX, no_wrap=True, overflow="ellipsis"
    )
    for name in ("calls/s", "p50 ms", "p99 ms", "err", "cold %", "peak/limit MB"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    wide = width >= _WIDE
    table.add_column("advice", no_wrap=True, overflow="ellipsis", justify="left")
    for row in rows:
        advised = "-" if row["advised_mb"] is None else f"{row['advised_mb']} MB"
        table.add_row(
            row["function"],
            f"{row['calls_per_s']:.2f}",
            _show(row["p50_ms"]),
            _show(row["p99_ms"]),
            Text(str(row["errors"]), "red" if row["errors"] else ""),
            _show(row["cold_percent"]),
            f"{_show(row['peak_mb'])}/{_show(row['limit_mb'])}",
            (row["advice"] or "-") if wide else advised,
        )
    return table


def _show(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,}"


def _decode(entries: list[tuple[Any, str, bytes]]) -> Iterator[InvocationTuned]:
    for _, _, payload in entries:
        with suppress(UndecodableError):
            event = decode(payload)
            if isinstance(event, InvocationTuned):
                yield event


@contextmanager
def _reading_keys() -> Iterator[Callable[[str], bool]]:
    """Whether a key was pressed since it was last asked; the terminal is given back as it was."""
    if not sys.stdin.isatty():
        yield lambda _: False
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(key: str) -> bool:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return bool(ready) and key in os.read(descriptor, 64).decode(errors="replace")

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
