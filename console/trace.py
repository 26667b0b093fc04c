"""All events of one invocation, looked up in the log.

Not here: what is shown of them (`invocation`). What the projection remembers is read by entry id.
Of an older one the publication is looked for, back to a bound, and the rest before its time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import json

from shared.codec import UndecodableError, decode
from shared.events import Anything
from shared.tail import Entry, Place, Tail
from shared.topology import EXECUTIONS, PROFILES, PUBLICATIONS, RECOMMENDATIONS, REQUESTS

PUBLICATIONS_MAX = 20_000  # looked through; each is small
ENTRIES_MAX = 1_000  # of each other stream
_PIECE = 250


class Traced(NamedTuple):
    """One event and where it lies."""

    place: Place
    entry_id: str
    event: Anything

    @property
    def appended_ms(self) -> int:
        """When Redis got it, Unix time."""
        return int(self.entry_id.partition("-")[0])


def read_known(tail: Tail, entries: Sequence[tuple[Place, str]]) -> list[Traced]:
    """The events of entry ids that are remembered; what was trimmed meanwhile is left out."""
    payloads = tail.read_entries(entries)
    found = []
    for (place, entry_id), payload in zip(entries, payloads, strict=True):
        event = _decode(payload) if payload is not None else None
        if event is not None:
            found.append(Traced(place, entry_id, event))
    return sort(found)


def search(tail: Tail, request_id: str) -> list[Traced]:
    """The events of an invocation that ended long ago; empty where it is older than the bounds."""
    for place in tail.list_places([PUBLICATIONS]):
        last = _look(tail, place, request_id, PUBLICATIONS_MAX)
        if last is None:
            continue
        found = [last]
        for stream in (RECOMMENDATIONS, PROFILES, EXECUTIONS, REQUESTS):
            before = f"{last.appended_ms + 1_000}-0"
            one = _look(tail, Place(stream, place.partition), request_id, ENTRIES_MAX, before)
            found += [one] if one else []
        return sort(found)
    return []


def sort(found: list[Traced]) -> list[Traced]:
    """In the order in which one caused the other."""
    order = [REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS]
    rank = {stream.name: number for number, stream in enumerate(order)}
    return sorted(
        found, key=lambda one: (rank.get(one.place.stream.name, len(order)), one.appended_ms)
    )


def _look(
    tail: Tail, place: Place, request_id: str, limit: int, before: str = "+"
) -> Traced | None:
    """The newest event of the invocation in one stream, back to `limit` entries."""
    needle = json.encode(request_id)  # most entries need no decoding
    for _ in range(0, limit, _PIECE):
        entries = tail.newest(place, _PIECE, before)
        for entry in entries:
            traced = _match(place, entry, request_id) if needle in entry[1] else None
            if traced is not None:
                return traced
        if len(entries) < _PIECE:
            return None
        before = f"({entries[-1][0]}"
    return None


def _match(place: Place, entry: Entry, request_id: str) -> Traced | None:
    event = _decode(entry[1])
    if event is None or event.invocation_id != request_id:
        return None
    return Traced(place, entry[0], event)


def _decode(payload: bytes) -> Anything | None:
    try:
        return decode(payload)
    except UndecodableError:
        return None
