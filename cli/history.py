"""The options of a command that reads history, and the history that they name.

Not here: what is made of it (`tuning`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from cli.command import as_json_option
from cli.failure import Failure
from cli.moment import Moment
from shared.archive import FolderArchive, open_archive
from shared.retention import Retention
from shared.settings import Settings
from shared.whole_log import WholeLog
from tuner.history import (
    ArchiveHistory,
    History,
    HistoryError,
    Period,
    WholeHistory,
)

Command = Callable[..., Any]


class Source(NamedTuple):
    """Which history a command reads."""

    history: History
    period: Period

    def read(self) -> Iterator[Any]:
        """The facts in it."""
        try:
            yield from self.history.read(self.period)
        except HistoryError as error:
            raise Failure(f"{error}.") from error


def reads_history(command: Command) -> Command:
    """The options that name a history, and JSON."""
    for option in (
        click.option("--since", type=Moment(), default=0, help="From then on: 2h, 7d, a date."),
        click.option("--until", type=Moment(), default=1 << 62, help="Before then."),
        click.option("--archive", type=click.Path(path_type=Path), help="A copy of the archive in "
                     "a folder, instead of the archive itself."),
        click.option("--no-live", is_flag=True, help="The archive alone; no Redis is asked."),
        as_json_option,
    ):  # fmt: skip
        command = option(command)
    return command


def open_source(settings: Settings, options: dict[str, Any]) -> Source:
    """The history that the options name."""
    folder = options["archive"]
    if folder and not folder.is_dir():
        message = f"no archive in {folder}: there is no such folder"
        raise Failure(f"{message}. Name the one that holds stream=... folders.")
    archive = FolderArchive(folder) if folder else open_archive(settings)
    try:
        history: History = (
            ArchiveHistory(archive)
            if options["no_live"]
            else WholeHistory(
                WholeLog(Retention(settings.redis_address), archive), settings.partitions
            )
        )
    except HistoryError as error:
        raise Failure(f"{error}.") from error
    return Source(history, Period(options["since"], options["until"]))
