"""The whole log: archive, then what is live, as one, while it is archived and trimmed.

Not here: what the entries mean. The cut is an entry id that Redis gives with the live entries: what
lies up to it is in the archive, and nothing after it can have been trimmed. Where it moved on while
somebody reads, the reader goes back to the archive, so there is neither a gap nor a double.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from msgspec import json

from shared.archive import Archive, ArchiveUnavailableError
from shared.codec import UNREADABLE
from shared.retention import Entries, Retention
from shared.stretch import (
    START,
    Place,
    Stretch,
    is_before,
    name_lines,
    read_places,
    select_places,
)
from shared.topology import Stream

FOREVER = f"{1 << 62}-0"
_PAGE = 500
_decoder = json.Decoder(Stretch)


class Span(NamedTuple):
    """Entries after one, up to another, of one partition."""

    partition: int = 0
    after: str = START
    until: str = FOREVER


class Archived(NamedTuple):
    """A stretch of the archive; of its rows, those in the span are meant."""

    place: Place
    span: Span
    archive: Archive

    def load(self) -> bytes:
        """The file. Raises ArchiveUnavailableError, also where it is not what was archived."""
        return load(self.archive, self.place)


Piece = Archived | Entries


class WholeLog:
    """One log in two places."""

    def __init__(self, retention: Retention, archive: Archive) -> None:
        self._retention = retention
        self._archive = archive

    def read(self, stream: Stream, span: Span) -> Iterator[Piece]:
        """Everything in the span, in the order of the log.

        Raises LogUnavailableError and ArchiveUnavailableError.
        """
        position, until = span.after, span.until
        while is_before(position, until):
            page = self._retention.read_page(stream, span.partition, position, _PAGE)
            if is_before(position, page.archived_until):
                places = list_places(self._archive, stream, span.partition)
                end = places[-1].last if places else START
                if is_before(end, page.archived_until):
                    raise ArchiveUnavailableError(
                        f"the archive of {stream.name} ends at {end}, but the log was archived up "
                        f"to {page.archived_until}: read the archive alone, or a newer copy of it"
                    )
                for place in select_places(places, position, until):
                    yield Archived(place, span, self._archive)
                position = end
                continue
            entries = [one for one in page.entries if not is_before(until, one[0])]
            if entries:
                yield entries
            if len(entries) < len(page.entries) or not entries:
                return
            position = entries[-1][0]


def read_archive(archive: Archive, stream: Stream, span: Span) -> Iterator[Archived]:
    """The stretches that hold something of the span, and nothing live."""
    for place in select_places(
        list_places(archive, stream, span.partition), span.after, span.until
    ):
        yield Archived(place, span, archive)


def list_places(archive: Archive, stream: Stream, partition: int | None = None) -> list[Place]:
    """The stretches that are archived, of all partitions where none is named."""
    return read_places(archive.names(name_lines(stream.name, partition)))


def load(archive: Archive, place: Place) -> bytes:
    """The file of a stretch, checked. Raises ArchiveUnavailableError."""
    line = load_line(archive, place)
    content = archive.get(line.file)
    if sha256(content).hexdigest() != line.sha256:
        raise ArchiveUnavailableError(f"{line.file} is not what was archived: its digest differs")
    return content


def load_line(archive: Archive, place: Place) -> Stretch:
    """What the manifest says of a stretch. Raises ArchiveUnavailableError."""
    try:
        return _decoder.decode(archive.get(place.name))
    except UNREADABLE as error:
        raise ArchiveUnavailableError(f"{place.name} is no line of a manifest: {error}") from error
