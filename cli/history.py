"""The options of a command that reads history, and the history that they name.

Not here: what is made of it (`tuning`).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click

from cli.command import as_json_option
from cli.failure import Failure
from cli.moment import Moment
from shared.log import Log
from shared.settings import Settings
from tuner.history import (
    ArchiveHistory,
    History,
    HistoryError,
    JoinedHistory,
    LiveHistory,
    Period,
)

Command = Callable[..., Any]


class Source(NamedTuple):
    """Which history a command reads."""

    history: History
    period: Period

    def read(self) -> Iterable[Any]:
        """The facts in it."""
        return self.history.read(self.period)


def reads_history(command: Command) -> Command:
    """The options that name a history, and JSON."""
    for option in (
        click.option("--since", type=Moment(), default=0, help="From then on: 2h, 7d, a date."),
        click.option("--until", type=Moment(), default=1 << 62, help="Before then."),
        click.option("--archive", type=click.Path(path_type=Path), help="A folder of Parquet "
                     "files (date=.../partition=...), read before what is live."),
        click.option("--no-live", is_flag=True, help="The archive alone."),
        as_json_option,
    ):  # fmt: skip
        command = option(command)
    return command


def open_source(settings: Settings, options: dict[str, Any]) -> Source:
    """The history that the options name."""
    live = LiveHistory(Log(settings.redis_address, settings.partitions), settings.partitions)
    history: History = live
    if options["archive"]:
        try:
            archive = ArchiveHistory(options["archive"])
        except HistoryError as error:
            raise Failure(f"{error}.") from error
        history = archive if options["no_live"] else JoinedHistory(archive, live)
    return Source(history, Period(options["since"], options["until"]))
