"""The reader: follows the end of all streams and folds it into the projection. One thread.

Not here: what an event changes (`projection`), the commands (`shared.tail`).

Bounded: at the start only the newest entries are read. Where entries come faster than they may be
looked at, the newest of each turn are, and of the others only their number is counted: the console
may not take from the stages what they need.
"""

import logging
import threading
import time

from console.projection import Projection
from shared.backoff import Backoff
from shared.codec import UndecodableError, decode
from shared.inbox import LogUnavailableError
from shared.logging import log_event
from shared.tail import Entry, GroupState, Place, Tail
from shared.topology import PUBLICATIONS

LOG = logging.getLogger(__name__)

BACKFILL_ENTRIES = 2_000  # of each stream
BACKFILL_BYTES = 8 << 20
_PIECE = 50  # an event has up to 256 KiB
_TURN_ENTRIES = 100
_TURN_SECONDS = 0.2
_TELL_SECONDS = 0.9  # once in a turn of an idle log
_BLOCK_MS = 1_000


class Reader:
    """Owns the connection that blocks. `run_once` is one turn."""

    def __init__(self, tail: Tail, projection: Projection) -> None:
        self._tail = tail
        self._projection = projection
        self._positions: dict[Place, str] = {}
        self._published: int | None = None  # results, as Redis counts them
        self._seen = 0  # of them, one by one
        self._told_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Follow the log until `stop`; without Redis wait, say so and begin anew."""
        backoff = Backoff("console", "redis")
        while not stop.is_set():
            try:
                self.run_once()
                backoff.reset()
                stop.wait(_TURN_SECONDS)
            except LogUnavailableError as error:
                self._positions.clear()
                with self._projection.lock:
                    self._projection.problem = str(error)
                backoff.wait(stop, error)

    def run_once(self) -> int:
        """Read what is new and how the stages are; how many entries were folded."""
        if not self._positions:
            return self._begin()
        found = self._tail.wait(self._positions, _TURN_ENTRIES, _BLOCK_MS)
        for place, entries in found.items():
            if len(entries) >= _TURN_ENTRIES:  # there may be more: the newest are what counts
                last = f"({self._positions[place]}"
                found[place] = self._tail.newest(place, _TURN_ENTRIES, after=last)[::-1]
        with self._projection.lock:
            count = sum(self._fold(place, entries) for place, entries in found.items())
        if time.monotonic() - self._told_at >= _TELL_SECONDS:
            self._tell()
        return count

    def _begin(self) -> int:
        """The newest entries of all streams, into an empty projection."""
        self._tail.read_now_ms()  # what is known stays until there is something new to know
        with self._projection.lock:
            self._projection.reset()
        count = 0
        for place in self._tail.list_places():
            entries = self._read_back(place)
            with self._projection.lock:
                self._positions[place] = "0-0"
                count += self._fold(place, entries)
        self._published = None
        self._tell()
        log_event(LOG, "console.reading", entries=count)
        return count

    def _tell(self) -> None:
        """How the stages are, how many results there were, and the time."""
        groups, now_ms = self._tail.read_groups(), self._tail.read_now_ms()
        self._told_at = time.monotonic()
        with self._projection.lock:
            self._count_unseen(groups, now_ms)
            self._projection.groups = groups
            self._projection.read_at_ms = now_ms
            self._projection.problem = ""

    def _read_back(self, place: Place) -> list[Entry]:
        """The newest entries of a stream, oldest first."""
        entries: list[Entry] = []
        before, size = "+", 0
        while len(entries) < BACKFILL_ENTRIES and size < BACKFILL_BYTES:
            piece = self._tail.newest(place, _PIECE, before)
            if not piece:
                break
            entries += piece
            size += sum(len(payload) for _, payload in piece)
            before = f"({piece[-1][0]}"
        return entries[::-1]

    def _fold(self, place: Place, entries: list[Entry]) -> int:
        for entry_id, payload in entries:
            self._positions[place] = entry_id
            try:
                event = decode(payload)
            except UndecodableError:
                continue  # its stage buries it
            self._projection.apply(place, entry_id, event)
        if place.stream is PUBLICATIONS:
            self._seen += len(entries)
        return len(entries)

    def _count_unseen(self, groups: list[GroupState], now_ms: int) -> None:
        """Results that Redis has counted and that were skipped here."""
        published = _count_published(groups)
        if published is None or self._published is None:
            self._published, self._seen = published, 0
            return
        unseen = published - self._published - self._seen
        # A few may have come between the read and the count; the next turn sees them.
        if unseen > _TURN_ENTRIES:
            self._projection.window.add_unseen(now_ms, unseen)
            self._projection.skipped += unseen
            self._published, self._seen = published, 0


def _count_published(groups: list[GroupState]) -> int | None:
    """All results since the streams began; None where Redis cannot tell."""
    total = 0
    for group in groups:
        if group.place.stream is PUBLICATIONS:
            if group.lag is None:
                return None
            total += (group.read or 0) + group.lag  # None read: nobody has begun
    return total
