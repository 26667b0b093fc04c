"""The inbox on Redis Streams: receive and commit in one round trip each for a whole batch.

Demands on it, in the order they are met below:
1. Commits queued by the stage go out in one write, before the next read is asked for.
2. A commit whose answer was lost with the connection is sent again: the fence makes that harmless.
3. After a connection was lost, entries that Redis delivered and we never saw come first.
4. Entries of dead consumers come before new ones, but only once the connection has been up long
   enough for living consumers to have refreshed theirs.
5. An entry in hand is never delivered again to the same consumer.
6. What a dead consumer had in hand comes one at a time: one of the entries may have killed it, and
   would take the others along again. The next comes when that one is committed, or has been in
   hand for half of the silence after which a consumer counts as dead.

With `overlapped`, commits have a connection of their own, so that they can be sent while a read
waits at the server: the executor and the publisher work so. Otherwise one connection carries both,
and one write holds the commits of the last batch and the read of the next.
"""

import os
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from typing import Any

from shared import metrics
from shared.codec import encode, read_invocation_id
from shared.events import DeadLettered, Event, derive_event_id
from shared.inbox import Delivery, LogUnavailableError
from shared.scripts import DIGESTS, TEXTS
from shared.settings import Settings
from shared.topology import Stream, key, stream_of
from shared.wire import CALL_SECONDS, Command, Reply, Wire, check, wait_readable

_SERVER_BLOCK_MS = 1_000  # a read that waits is renewed this often; also how fast a stop is seen
_RECOVERED_MAX = 10_000
_SILENCE_SECONDS = 10.0  # a server that leaves a read unanswered for that long is gone

_Place = tuple[int, str]  # partition, entry id


def make_consumer_name(stage: str) -> str:
    """A name that no other process, past or future, has: the fence rests on it."""
    return f"{stage}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class RedisInbox:
    """One consumer in the group of a stream, over all its partitions or some of them."""

    def __init__(
        self,
        settings: Settings,
        stream: Stream,
        consumer: str,
        *,
        overlapped: bool = False,
        partitions: Iterable[int] = (),
    ) -> None:
        self.consumer = consumer
        self._stream = stream
        self._stage = self._group = stream.group
        chosen = tuple(partitions) or range(settings.partitions)
        self._keys = {partition: key(stream, partition) for partition in chosen}
        self._partition_of = {name.encode(): number for number, name in self._keys.items()}
        self._claim_idle_ms = settings.claim_idle_ms
        self._reader = Wire(settings.redis_address, consumer)
        self._writer = Wire(settings.redis_address, consumer) if overlapped else self._reader
        self._ready: deque[Delivery] = deque()
        self._hand: dict[_Place, Delivery] = {}
        self._unconfirmed: dict[_Place, Command] = {}
        self._fenced = 0
        self._committed = 0  # not yet in the metrics
        self._committed_total = metrics.COMMITS.labels(self._stage, "committed")
        self._fenced_total = metrics.COMMITS.labels(self._stage, "fenced")
        self._asked = False
        self._asked_at = self._held_at = self._claim_at = self._claim_first_at = 0.0
        self._suspect: _Place | None = None

    # -- the contract -----------------------------------------------------------------------------

    def receive(self, count_max: int, block_ms: int, wake: int | None = None) -> list[Delivery]:
        """See `Inbox.receive`."""
        deadline = time.monotonic() + block_ms / 1000
        with self._losing():
            self._ensure_connected()
            self.hold()
            while True:
                self._claim(count_max - len(self._ready))
                if count_max > 0 and not self._ready:
                    self._ask(count_max)
                self._writer.send()  # with one connection, the read goes with the commits
                self._reader.send()
                if self._ready and count_max > 0:
                    return self._take(count_max)
                left = deadline - time.monotonic()
                woken = self._wait(min(left, self._claim_idle_ms / 3000), wake)
                if self._ready and count_max > 0:
                    return self._take(count_max)
                self._check_answer()
                if woken or left <= 0:
                    return []
                self.hold()

    def commit(self, delivery: Delivery, outputs: Sequence[Event]) -> None:
        """See `Inbox.commit`."""
        here = self._keys[delivery.partition]
        keys: list[str] = [here]
        pairs: list[str | bytes | int] = []
        for event in outputs:
            target = key(stream_of(type(event).__name__), delivery.partition)
            if target not in keys:
                keys.append(target)
            pairs += (keys.index(target) + 1, encode(event))
        place = (delivery.partition, delivery.entry_id)
        self._hand.pop(place, None)
        if place == self._suspect:
            self._suspect = None
            self._claim_at = self._claim_first_at
        command = ("EVALSHA", DIGESTS["commit"], len(keys), *keys, self._group, self.consumer,
                   delivery.entry_id, *pairs)  # fmt: skip
        self._unconfirmed[place] = command
        if self._writer.connected:
            self._queue_commit(place, command)

    def bury(self, delivery: Delivery, reason: str) -> None:
        """See `Inbox.bury`."""
        cause = f"{key(delivery.stream, delivery.partition)}/{delivery.entry_id}"
        letter = DeadLettered(
            event_id=derive_event_id(cause, "DeadLettered"),
            invocation_id=read_invocation_id(delivery.payload),
            causation_id=cause,
            occurred_at_ms=time.time_ns() // 1_000_000,
            stage=self._stage,
            stream=delivery.stream.name,
            entry_id=delivery.entry_id,
            attempts=delivery.attempt,
            reason=reason[:2_000],
            payload=delivery.payload[:180_000],  # base64 and header still fit an event
            payload_bytes=len(delivery.payload),
        )
        metrics.DEAD_LETTERED.labels(self._stage).inc()
        self.commit(delivery, (letter,))

    def flush(self) -> int:
        """See `Inbox.flush`."""
        with self._losing():
            self._ensure_connected()
            self._writer.send()
            deadline = time.monotonic() + CALL_SECONDS
            while self._unconfirmed:
                if not wait_readable([self._writer.fileno()], deadline - time.monotonic()):
                    raise LogUnavailableError("Redis did not answer a commit in time")
                self._writer.pump()
        self._count_committed()
        fenced, self._fenced = self._fenced, 0
        return fenced

    def hold(self) -> None:
        """See `Inbox.hold`."""
        now = time.monotonic()
        if not self._hand or now - self._held_at < self._claim_idle_ms / 3000:
            return
        self._held_at = now
        if not self._writer.connected:
            return
        for partition, name in self._keys.items():
            ids = [entry_id for place, entry_id in self._hand if place == partition]
            if ids:
                self._writer.queue(
                    ("EVALSHA", DIGESTS["hold"], 1, name, self._group, self.consumer, *ids), check
                )

    def adopt(self, delivery: Delivery) -> None:
        """See `Inbox.adopt`."""
        self._hand[delivery.partition, delivery.entry_id] = delivery

    def forget(self, delivery: Delivery) -> None:
        """See `Inbox.forget`."""
        self._hand.pop((delivery.partition, delivery.entry_id), None)

    def close(self) -> None:
        """See `Inbox.close`."""
        # Without an answer nothing is lost: what is pending will be claimed after a while.
        with suppress(LogUnavailableError), closing(self._reader):
            self.flush()
            self._disconnect()  # ends the read that may still wait at the server
            self._reader.connect()
            self._reader.call(*[self._leave(partition) for partition in self._keys])
        self._disconnect()

    def _leave(self, partition: int) -> Command:
        unstarted = [one.entry_id for one in self._ready if one.partition == partition]
        return ("EVAL", TEXTS["leave"], 1, self._keys[partition], self._group, self.consumer,
                *unstarted)  # fmt: skip

    # -- for loops that wait for more than Redis ---------------------------------------------------

    @property
    def in_hand(self) -> int:
        """How many deliveries were handed out and are not committed."""
        return len(self._hand)

    @property
    def fenced(self) -> int:
        """Commits that were fenced off since the last flush, as far as Redis has answered."""
        return self._fenced

    @property
    def descriptors(self) -> set[int]:
        """What becomes readable when Redis answers; empty while there is no connection."""
        wires = (self._reader, self._writer)
        return {wire.fileno() for wire in wires if wire.connected}

    def move(self, url: str) -> None:
        """The partitions are elsewhere now; what is in hand is kept and goes on there."""
        self._disconnect()
        self._reader.url = self._writer.url = url

    # -- receiving ---------------------------------------------------------------------------------

    def _ask(self, count: int) -> None:
        if self._asked:
            return
        self._asked = True
        self._asked_at = time.monotonic()
        # Redis counts for each stream. What comes beyond `count` waits here, where no other
        # consumer sees it: less than one entry a partition.
        each = -(-count // len(self._keys))
        self._reader.queue(
            ("XREADGROUP", "GROUP", self._group, self.consumer, "COUNT", each,
             "BLOCK", _SERVER_BLOCK_MS, "STREAMS", *self._keys.values(), *[">"] * len(self._keys)),
            self._on_read,
        )  # fmt: skip

    def _check_answer(self) -> None:
        if self._asked and time.monotonic() - self._asked_at > _SILENCE_SECONDS:
            raise LogUnavailableError(f"Redis left a read unanswered for {_SILENCE_SECONDS:.0f} s")

    def _on_read(self, reply: Reply) -> None:
        self._asked = False
        for name, entries in check(reply) or ():
            partition = self._partition_of[name]
            for entry_id, fields in entries:
                self._arrived(partition, entry_id, fields[1], 1)

    def _arrived(self, partition: int, entry_id: bytes, payload: bytes, attempt: int) -> None:
        place = (partition, entry_id.decode())
        if place in self._hand or place in self._unconfirmed:
            return
        delivery = Delivery(self._stream, partition, place[1], attempt, payload)
        self._hand[place] = delivery
        self._ready.append(delivery)

    def _take(self, count: int) -> list[Delivery]:
        return [self._ready.popleft() for _ in range(min(count, len(self._ready)))]

    def _wait(self, seconds: float, wake: int | None) -> bool:
        """Read replies for up to `seconds`; whether `wake` became readable."""
        descriptors = {self._reader.fileno(), self._writer.fileno()}
        readable = wait_readable([*descriptors, *([] if wake is None else [wake])], seconds)
        for wire in dict.fromkeys((self._writer, self._reader)):
            if wire.fileno() in readable:
                wire.pump()
        self._count_committed()
        return wake in readable

    def _claim(self, count: int) -> None:
        now = time.monotonic()
        busy = self._asked and self._writer is self._reader
        if now < self._claim_at or count <= 0 or busy:
            return
        self._claim_at = now + self._claim_idle_ms / 2000
        # A server that stood still makes everybody look dead: let the living refresh first.
        self._writer.call(("PING",))
        if time.monotonic() - now > self._claim_idle_ms / 3000:
            self._claim_at = time.monotonic() + self._claim_idle_ms * 2 / 3000
            return
        for partition in self._keys:
            for _ in range(count):
                claimed = self._claim_idle(partition, self._claim_idle_ms, 1)
                if not claimed:
                    break
                if claimed[0].attempt > 1:
                    self._suspect = (partition, claimed[0].entry_id)
                    return

    def claim_all(self) -> None:
        """Take over everything that is pending in the group, for a stage with one consumer."""
        with self._losing():
            self._ensure_connected()
            for partition in self._keys:
                self._claim_idle(partition, 0, _RECOVERED_MAX)

    def _claim_idle(self, partition: int, idle_ms: int, count: int) -> list[Delivery]:
        # Not by the reader, which may wait at the server.
        (claimed,) = self._writer.call(
            ("EVALSHA", DIGESTS["claim"], 1, self._keys[partition], self._group, self.consumer,
             idle_ms, count)
        )  # fmt: skip
        for entry_id, payload, attempt in claimed:
            metrics.CLAIMED.labels(self._stage).inc()
            self._arrived(partition, entry_id, payload, attempt)
        return [
            Delivery(self._stream, partition, entry_id.decode(), attempt, payload)
            for entry_id, payload, attempt in claimed
        ]

    # -- committing --------------------------------------------------------------------------------

    def _count_committed(self) -> None:
        """Once for all that Redis has answered: a batch costs one increment."""
        if self._committed:
            self._committed_total.inc(self._committed)
            self._committed = 0

    def _queue_commit(self, place: _Place, command: Command) -> None:
        def confirm(reply: Reply) -> None:
            committed = check(reply) == 1
            self._unconfirmed.pop(place, None)
            if committed:
                self._committed += 1
            else:
                self._fenced += 1
                self._fenced_total.inc()

        self._writer.queue(command, confirm)

    # -- the connection ----------------------------------------------------------------------------

    def _losing(self) -> "_Losing":
        return _Losing(self)

    def _ensure_connected(self) -> None:
        if self._reader.connected and self._writer.connected:
            return
        self._disconnect()
        for wire in dict.fromkeys((self._reader, self._writer)):
            wire.connect()
            wire.call(*[("SCRIPT", "LOAD", text) for text in TEXTS.values()])
        for name in self._keys.values():
            self._join(name)
        for place, command in self._unconfirmed.items():
            self._queue_commit(place, command)
        self._recover()
        # Living consumers get the time of two refreshes before anything of theirs is claimed.
        self._claim_first_at = time.monotonic() + self._claim_idle_ms * 2 / 3000
        self._claim_at = self._claim_first_at
        self._held_at = 0.0

    def _join(self, name: str) -> None:
        replies: list[Any] = []
        self._reader.queue(("XGROUP", "CREATE", name, self._group, "0", "MKSTREAM"), replies.append)
        self._reader.send()
        while not replies:
            self._reader.pump()
        if not str(replies[0]).startswith("BUSYGROUP"):
            check(replies[0])
        self._reader.call(("EVALSHA", DIGESTS["mend"], 1, name, self._group, _RECOVERED_MAX))

    def _recover(self) -> None:
        """Entries that Redis delivered to us and the lost connection swallowed."""
        for partition, name in self._keys.items():
            (pending,) = self._reader.call(
                ("XPENDING", name, self._group, "-", "+", _RECOVERED_MAX, self.consumer)
            )
            lost = [
                (entry_id, attempt)
                for entry_id, _, _, attempt in pending
                if (partition, entry_id.decode()) not in self._hand
                and (partition, entry_id.decode()) not in self._unconfirmed
            ]
            ranges = self._reader.call(*[("XRANGE", name, one, one) for one, _ in lost])
            for (entry_id, attempt), entries in zip(lost, ranges, strict=True):
                self._arrived(partition, entry_id, entries[0][1][1], attempt)

    def _disconnect(self) -> None:
        self._reader.close()
        self._writer.close()
        self._asked = False


class _Losing:
    """While it lasts, a lost connection leaves the inbox ready to connect again."""

    def __init__(self, inbox: RedisInbox) -> None:
        self._inbox = inbox

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, LogUnavailableError):
            self._inbox._disconnect()  # noqa: SLF001
