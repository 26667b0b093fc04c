"""History: where the facts of past invocations are read from, live and archived, as one.

Not here: what is made of them (`backtest`, `replay`, `report`); how the two are joined
(`shared.whole_log`). Every history gives the facts of a function in the order of the log.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from shared.archive import Archive, ArchiveUnavailableError
from shared.codec import UndecodableError, decode
from shared.events import InvocationProfiled
from shared.retention import Entries
from shared.stretch import parse_entry_id
from shared.topology import PROFILES
from shared.whole_log import FOREVER, Archived, Piece, Span, WholeLog, list_places, read_archive
from tuner.facts import Facts, has_run, read_facts

_FOREVER_MS = 1 << 62
_LATE_MS = 14 * 86_400_000  # as long as SQS keeps a message


class Period(NamedTuple):
    """From the first millisecond to before the last, Unix time."""

    since_ms: int = 0
    until_ms: int = _FOREVER_MS

    def covers(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.since_ms <= at_ms < self.until_ms

    def may_cover(self, first: str, last: str) -> bool:
        """Whether entries between two hold something of it.

        An entry is as old as its event, or appended later.
        """
        begins_ms, ends_ms = parse_entry_id(first)[0] - _LATE_MS, parse_entry_id(last)[0]
        return begins_ms < self.until_ms and ends_ms >= self.since_ms


ALWAYS = Period()


class HistoryError(Exception):
    """The history cannot be read; the message says why and what to do."""


class History(Protocol):
    """Past invocations. Raises HistoryError, and LogUnavailableError where some are live."""

    def find_pieces(self) -> Iterator[Piece]:
        """Files and live entries, in the order of the log; nothing is loaded yet."""
        ...

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """Function id and facts of each invocation that ran, oldest first in each function."""
        ...


class WholeHistory:
    """Archive and live."""

    def __init__(
        self, log: WholeLog, partitions: int, ends: Mapping[int, str] | None = None
    ) -> None:
        """`ends`: by partition, the entry to end with; everything where none is named."""
        self._log = log
        self._partitions = partitions
        self._ends = ends or {}

    def find_pieces(self) -> Iterator[Piece]:
        """See `History`."""
        for partition in range(self._partitions):
            span = Span(partition, until=self._ends.get(partition, FOREVER))
            with _told():
                yield from self._log.read(PROFILES, span)

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`. One stretch at a time is held in memory."""
        return read_pieces(self.find_pieces(), period)


class ArchiveHistory:
    """What is archived, alone: no Redis is asked."""

    def __init__(self, archive: Archive) -> None:
        """Raises HistoryError where nothing is archived."""
        with _told():
            self._partitions = sorted({one.partition for one in list_places(archive, PROFILES)})
        if not self._partitions:
            message = "no archive: nothing under _manifest/stream=profiles. Name its folder"
            raise HistoryError(message)
        self._archive = archive

    def find_pieces(self) -> Iterator[Piece]:
        """See `History`."""
        for partition in self._partitions:
            with _told():
                yield from read_archive(self._archive, PROFILES, Span(partition))

    def read(self, period: Period = ALWAYS) -> Iterator[tuple[str, Facts]]:
        """See `History`. One stretch at a time is held in memory."""
        return read_pieces(self.find_pieces(), period)


def read_pieces(pieces: Iterable[Piece], period: Period) -> Iterator[tuple[str, Facts]]:
    """The facts of files and live entries, of a period. Raises HistoryError."""
    for piece in pieces:
        with _told():
            yield from read_piece(piece, period)


def read_piece_by_function(piece: Piece) -> Iterator[tuple[str, Iterable[Facts]]]:
    """All facts of a piece, some of one function together, in their order. Raises HistoryError."""
    if not isinstance(piece, Archived):
        for function_id, facts in _read_entries(piece, ALWAYS):
            yield function_id, (facts,)
        return
    from tuner.columns import load_frame, read_functions  # noqa: PLC0415 - as above

    with _told():
        content = piece.load()
    yield from read_functions(load_frame(content, piece.span))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ArchiveUnavailableError as error:
        raise HistoryError(str(error)) from error


def read_piece(piece: Piece, period: Period) -> Iterator[tuple[str, Facts]]:
    """The facts of a stretch or of live entries, of a period."""
    if not isinstance(piece, Archived):
        yield from _read_entries(piece, period)
    elif period.may_cover(piece.place.first, piece.place.last):
        # polars takes a third of a second to import, and most starts need none of it.
        from tuner.columns import load_frame, read_frame  # noqa: PLC0415

        found = read_frame(load_frame(piece.load(), piece.span))
        if period == ALWAYS:
            yield from found
        else:
            yield from (one for one in found if period.covers(one[1].at_ms))


def _read_entries(entries: Entries, period: Period) -> Iterator[tuple[str, Facts]]:
    for _, payload in entries:
        try:
            event = decode(payload)
        except UndecodableError:
            continue  # it was, or will be, buried by the tuner
        if not isinstance(event, InvocationProfiled) or not has_run(event):
            continue
        if period.covers(event.occurred_at_ms):
            yield event.execution.function_id, read_facts(event)
