"""A stretch: consecutive entries of one stream and partition that lie in one file of the archive.

Pure: names and order. Not here: where the files are (`archive`), what is in them
(`archiver.table`), which entries make a stretch (`archiver.closing`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec import Struct

START = "0-0"  # before every entry

_NAME = re.compile(r"_manifest/stream=([a-z]+)/partition=(\d+)/(\d+-\d+)-(\d+-\d+)\.json")


class Bounds(Struct, frozen=True, array_like=True):
    """Which entries: the first, the last and how many; `after` is the last of the stretch before.

    Stretches follow one another, so nothing lies between `after` and `first`.
    """

    after: str
    first: str
    last: str
    rows: int


class Stretch(Struct, frozen=True, kw_only=True):
    """A line of the manifest: as soon as it is there, the stretch is archived."""

    stream: str
    partition: int
    after: str
    first: str
    last: str
    rows: int
    file: str
    bytes: int
    sha256: str


class Place(Struct, frozen=True, array_like=True):
    """What the name of a manifest's line tells: enough to know what to read."""

    stream: str
    partition: int
    first: str
    last: str
    name: str


def parse_entry_id(entry_id: str) -> tuple[int, int]:
    """The two numbers of an entry id, which sort as the log does."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def is_before(one: str, other: str) -> bool:
    """Whether an entry comes before another."""
    return parse_entry_id(one) < parse_entry_id(other)


def name_entry_before(entry_id: str) -> str:
    """The highest id below another one; no entry need have it."""
    milliseconds, number = parse_entry_id(entry_id)
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-{2**64 - 1}" if milliseconds else START


def find_date(entry_id: str) -> str:
    """The day of an entry, in UTC: 2026-11-24."""
    return datetime.fromtimestamp(parse_entry_id(entry_id)[0] / 1_000, UTC).date().isoformat()


def name_file(stream: str, partition: int, bounds: Bounds) -> str:
    """Where the rows lie: folders in Hive's style. A stretch lies within one day."""
    folder = f"stream={stream}/partition={partition}/date={find_date(bounds.first)}"
    return f"{folder}/{bounds.first}-{bounds.last}.parquet"


def name_line(stream: str, partition: int, first: str, last: str) -> str:
    """Where the line of the manifest lies; query engines pass folders with a _ over."""
    return f"{name_lines(stream, partition)}{first}-{last}.json"


def name_lines(stream: str, partition: int | None = None) -> str:
    """What the names of all lines of a stream begin with."""
    return f"_manifest/stream={stream}/" + ("" if partition is None else f"partition={partition}/")


def read_places(names: Iterable[str]) -> list[Place]:
    """The stretches of a manifest by partition, in the order of the log."""
    found = [match for name in names if (match := _NAME.fullmatch(name))]
    places = [Place(one[1], int(one[2]), one[3], one[4], one[0]) for one in found]
    return sorted(places, key=lambda place: (place.partition, parse_entry_id(place.first)))


def select_places(places: Sequence[Place], after: str, until: str) -> Iterator[Place]:
    """Those that hold entries after one and up to another."""
    for place in places:
        if is_before(after, place.last) and not is_before(until, place.first):
            yield place
