"""History: where the facts of past invocations are read from, live or archived.

Not here: what is made of them (`backtest`, `replay`, `report`).

Every history gives the facts of a function in the order of the log. The archive lies in folders
`date=YYYY-MM-DD/partition=N/*.parquet` (Hive's style, read as it lies by Spark, Athena and DuckDB)
with the columns of `columns.SCHEMA`; the date is that of the entry, in UTC, so that days and the
order in them are the order of the log.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from shared.codec import UndecodableError, decode
from shared.events import InvocationProfiled
from shared.log import Log
from shared.topology import PROFILES
from tuner.columns import SCHEMA, read_frame
from tuner.facts import Facts, has_run, read_facts

_FOREVER_MS = 1 << 62
_LATE_MS = 86_400_000


class Period(NamedTuple):
    """From the first millisecond to before the last, Unix time."""

    since_ms: int = 0
    until_ms: int = _FOREVER_MS

    def covers(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.since_ms <= at_ms < self.until_ms


ALWAYS = Period()


class HistoryError(Exception):
    """The history cannot be read; the message says why and what to do."""


class History(Protocol):
    """Past invocations."""

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """Function id and facts of each invocation that ran, oldest first in each function."""
        ...


class LiveHistory:
    """What is still in the stream `profiles`. Raises LogUnavailableError."""

    def __init__(self, log: Log, partitions: int, last: Mapping[int, str] | None = None) -> None:
        """`last`: by partition, the entry to end with; everything where none is named."""
        self._log = log
        self._partitions = partitions
        self._last = last or {}

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`."""
        for partition in range(self._partitions):
            for _, payload in self._log.entries(
                PROFILES, partition, self._last.get(partition, "+")
            ):
                try:
                    event = decode(payload)
                except UndecodableError:
                    continue  # it was, or will be, buried by the tuner
                if not isinstance(event, InvocationProfiled) or not has_run(event):
                    continue
                if period.covers(event.occurred_at_ms):
                    yield event.execution.function_id, read_facts(event)


class ArchiveHistory:
    """Parquet files in Hive-style folders; columns are read, not objects."""

    def __init__(self, folder: Path) -> None:
        """Raises HistoryError where there is no such folder or nothing to read Parquet with."""
        if not folder.is_dir():
            message = f"no archive in {folder}. Name the folder that holds date=... folders"
            raise HistoryError(message)
        try:
            import polars as pl  # noqa: PLC0415
        except ImportError as error:
            message = 'Parquet is read with polars. Run: pip install "hearth[columns]"'
            raise HistoryError(message) from error
        self._pl = pl
        self._folder = folder

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`. One day at a time is held in memory."""
        pl = self._pl
        for files in self._list_days(period):
            frame = pl.read_parquet(files, columns=list(SCHEMA), hive_partitioning=False)
            in_period = frame.filter(
                (pl.col("occurred_at_ms") >= period.since_ms)
                & (pl.col("occurred_at_ms") < period.until_ms)
            )
            yield from read_frame(in_period.sort("order"))

    def _list_days(self, period: Period) -> Iterator[list[Path]]:
        """The files of each day that can hold something of the period, in order."""
        for folder in sorted(self._folder.glob("date=*")):
            day = datetime.fromisoformat(folder.name.removeprefix("date=")).replace(tzinfo=UTC)
            begins_ms = int(day.timestamp() * 1_000)
            ends_ms = int((day + timedelta(days=1)).timestamp() * 1_000)
            # An entry is as old as its event, or appended later.
            if begins_ms - _LATE_MS < period.until_ms and ends_ms > period.since_ms:
                files = sorted(folder.glob("partition=*/*.parquet"))
                if files:
                    yield files


class JoinedHistory:
    """The archive, then what is live and was not archived yet."""

    def __init__(self, earlier: History, later: History) -> None:
        self._parts = (earlier, later)

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`. What both have is given once."""
        seen: set[str] = set()
        earlier, later = self._parts
        for function_id, facts in earlier.read(period):
            seen.add(facts.event_id)
            yield function_id, facts
        for function_id, facts in later.read(period):
            if facts.event_id not in seen:
                yield function_id, facts


class ListedHistory:
    """Facts that are at hand: for tests and for what was read before."""

    def __init__(self, facts: Iterable[tuple[str, Facts]]) -> None:
        self._facts = list(facts)

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`."""
        return (one for one in self._facts if period.covers(one[1].at_ms))
