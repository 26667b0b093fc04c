"""The inbox in memory: the fake that passes the contract tests of the real one.

It keeps Redis's rules that the contract rests on: one owner an entry, delivery counts, idle times.
"""

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.codec import encode
from shared.events import DeadLettered, Event, derive_event_id
from shared.inbox import Delivery
from shared.topology import Stream, stream_of


@dataclass
class Pending:
    """Who owns an entry, since when, and how often it was delivered."""

    consumer: str
    since: float
    count: int


@dataclass
class MemoryStreams:
    """What a Redis would hold: entries by stream, positions and pending lists by group."""

    partitions: int = 1
    entries: dict[tuple[str, int], list[tuple[str, bytes]]] = field(default_factory=dict)
    position: dict[tuple[str, int], int] = field(default_factory=dict)
    pending: dict[tuple[str, int], dict[str, Pending]] = field(default_factory=dict)
    serial: int = 0

    def append(self, stream: str, partition: int, payload: bytes) -> str:
        """Append bytes; returns the entry id."""
        self.serial += 1
        entry_id = f"{time.time_ns() // 1_000_000}-{self.serial}"
        self.entries.setdefault((stream, partition), []).append((entry_id, payload))
        return entry_id


class MemoryInbox:
    """One consumer of a stream's group."""

    def __init__(
        self, streams: MemoryStreams, stream: Stream, consumer: str, claim_idle_ms: int = 15_000
    ) -> None:
        self.consumer = consumer
        self._streams = streams
        self._stream = stream
        self._claim_idle_s = claim_idle_ms / 1000
        self._hand: dict[tuple[int, str], Delivery] = {}
        self._queued: list[tuple[Delivery, Sequence[Event]]] = []
        self.fenced = 0
        self._suspect: tuple[int, str] = (0, "")  # one of what the dead left is taken at a time

    def receive(self, count_max: int, block_ms: int, wake: int | None = None) -> list[Delivery]:
        """See `Inbox.receive`."""
        self._apply()
        self.hold()
        deadline = time.monotonic() + block_ms / 1000
        while True:
            found = self._collect(count_max)
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            waiting = [] if wake is None else [wake]
            if select.select(waiting, [], [], min(left, 0.005))[0]:
                return []

    def commit(self, delivery: Delivery, outputs: Sequence[Event]) -> None:
        """See `Inbox.commit`."""
        for event in outputs:
            encode(event)
        self._hand.pop((delivery.partition, delivery.entry_id), None)
        self._queued.append((delivery, outputs))

    def bury(self, delivery: Delivery, reason: str) -> None:
        """See `Inbox.bury`."""
        cause = f"{delivery.stream.name}/{delivery.entry_id}"
        letter = DeadLettered(
            event_id=derive_event_id(cause, "DeadLettered"),
            invocation_id="",
            causation_id=cause,
            occurred_at_ms=0,
            stage=self._stream.group or "",
            stream=delivery.stream.name,
            entry_id=delivery.entry_id,
            attempts=delivery.attempt,
            reason=reason,
            payload=delivery.payload,
        )
        self.commit(delivery, (letter,))

    def flush(self) -> int:
        """See `Inbox.flush`."""
        self._apply()
        fenced, self.fenced = self.fenced, 0
        return fenced

    def hold(self) -> None:
        """See `Inbox.hold`."""
        for partition, entry_id in self._hand:
            pending = self._pending(partition).get(entry_id)
            if pending is not None and pending.consumer == self.consumer:
                pending.since = time.monotonic()

    def adopt(self, delivery: Delivery) -> None:
        """See `Inbox.adopt`."""
        self._hand[delivery.partition, delivery.entry_id] = delivery

    def forget(self, delivery: Delivery) -> None:
        """See `Inbox.forget`."""
        self._hand.pop((delivery.partition, delivery.entry_id), None)

    def close(self) -> None:
        """See `Inbox.close`."""
        self._apply()

    def _pending(self, partition: int) -> dict[str, Pending]:
        return self._streams.pending.setdefault((self._stream.name, partition), {})

    def _apply(self) -> None:
        for delivery, outputs in self._queued:
            pending = self._pending(delivery.partition)
            owner = pending.get(delivery.entry_id)
            if owner is None or owner.consumer != self.consumer:
                self.fenced += 1
                continue
            for event in outputs:
                target = stream_of(type(event).__name__).name
                self._streams.append(target, delivery.partition, encode(event))
            del pending[delivery.entry_id]
        self._queued.clear()

    def _collect(self, count: int) -> list[Delivery]:
        found: list[Delivery] = []
        for partition in range(self._streams.partitions):
            found += self._claim(partition, count - len(found))
        for partition in range(self._streams.partitions):
            found += self._read_new(partition, count - len(found))
        return found

    def _claim(self, partition: int, count: int) -> list[Delivery]:
        entries = dict(self._streams.entries.get((self._stream.name, partition), []))
        now = time.monotonic()
        idle = [
            entry_id
            for entry_id, pending in self._pending(partition).items()
            if now - pending.since >= self._claim_idle_s and (partition, entry_id) not in self._hand
        ]
        if not idle or count <= 0 or self._suspect in self._hand:
            return []
        entry_id = idle[0]
        self._suspect = (partition, entry_id)
        attempt = self._pending(partition)[entry_id].count + 1
        return [self._deliver(partition, entry_id, entries[entry_id], attempt)]

    def _read_new(self, partition: int, count: int) -> list[Delivery]:
        place = (self._stream.name, partition)
        position = self._streams.position.get(place, 0)
        fresh = self._streams.entries.get(place, [])[position : position + max(count, 0)]
        self._streams.position[place] = position + len(fresh)
        return [self._deliver(partition, entry_id, payload, 1) for entry_id, payload in fresh]

    def _deliver(self, partition: int, entry_id: str, payload: bytes, attempt: int) -> Delivery:
        self._pending(partition)[entry_id] = Pending(self.consumer, time.monotonic(), attempt)
        delivery = Delivery(self._stream, partition, entry_id, attempt, payload)
        self._hand[partition, entry_id] = delivery
        return delivery


def make_wake() -> int:
    """A descriptor to wake a receiver with."""
    return os.eventfd(0, os.EFD_NONBLOCK)
