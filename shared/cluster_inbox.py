"""The inbox on a Redis Cluster: one `RedisInbox` a partition, each at the master that holds it.

A read may name keys of one slot only, even where one master holds several; and Redis answers one
connection in order, so a read that waits for one partition would hold up the next. Hence a
connection for each partition (two where work overlaps), and one poll over all of them.

1. A partition whose master does not answer, or says that the slot moved, is tried again with
   backoff after a look at the cluster's layout; the other partitions go on meanwhile.
2. What is in hand and what is not confirmed stays with its partition, wherever that goes.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from shared.backoff import Backoff
from shared.cluster import Layout
from shared.events import Event
from shared.inbox import Delivery, LogUnavailableError
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import Stream
from shared.wire import wait_readable


class _Part:
    """One partition: its inbox, and until when it is left alone."""

    def __init__(self, partition: int, inbox: RedisInbox, stage: str) -> None:
        self.partition = partition
        self.inbox = inbox
        self.url = ""
        self.until = 0.0
        self.backoff = Backoff(stage, "redis")

    def wait(self, timeout: float) -> None:
        """What Backoff waits with: the others have work, so nobody sleeps."""
        self.until = time.monotonic() + timeout


class ClusterInbox:
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
        self._layout = Layout(settings.redis_address, consumer)
        self._hold_s = settings.claim_idle_ms / 3_000
        self._parts = {
            number: _Part(
                number,
                RedisInbox(settings, stream, consumer, overlapped=overlapped, partitions=(number,)),
                stream.group,
            )
            for number in tuple(partitions) or range(settings.partitions)
        }
        self._turn = 0

    # -- the contract -----------------------------------------------------------------------------

    def receive(self, count_max: int, block_ms: int, wake: int | None = None) -> list[Delivery]:
        """See `Inbox.receive`. Raises LogUnavailableError only while no partition answers."""
        deadline = time.monotonic() + block_ms / 1000
        while True:
            found = self._receive_from_all(count_max)
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            descriptors = [one for part in self._parts.values() for one in part.inbox.descriptors]
            watched = [*descriptors, *([] if wake is None else [wake])]
            if wake in wait_readable(watched, min(left, self._decide_pause())):
                return []

    def commit(self, delivery: Delivery, outputs: Sequence[Event]) -> None:
        """See `Inbox.commit`."""
        self._parts[delivery.partition].inbox.commit(delivery, outputs)

    def bury(self, delivery: Delivery, reason: str) -> None:
        """See `Inbox.bury`."""
        self._parts[delivery.partition].inbox.bury(delivery, reason)

    def flush(self) -> int:
        """See `Inbox.flush`."""
        fenced = 0
        for part in self._parts.values():
            self._find(part)
            try:
                fenced += part.inbox.flush()
            except LogUnavailableError as error:
                self._lost(part, error)
                raise
        return fenced

    def hold(self) -> None:
        """See `Inbox.hold`."""
        for part in self._parts.values():
            part.inbox.hold()

    def adopt(self, delivery: Delivery) -> None:
        """See `Inbox.adopt`."""
        self._parts[delivery.partition].inbox.adopt(delivery)

    def forget(self, delivery: Delivery) -> None:
        """See `Inbox.forget`."""
        self._parts[delivery.partition].inbox.forget(delivery)

    def close(self) -> None:
        """See `Inbox.close`."""
        for part in self._parts.values():
            with suppress(LogUnavailableError):  # what is pending will be claimed after a while
                self._find(part)
                part.inbox.close()
            part.backoff.reset()

    # -- as RedisInbox ----------------------------------------------------------------------------

    @property
    def in_hand(self) -> int:
        """How many deliveries were handed out and are not committed."""
        return sum(part.inbox.in_hand for part in self._parts.values())

    @property
    def fenced(self) -> int:
        """Commits that were fenced off since the last flush, as far as Redis has answered."""
        return sum(part.inbox.fenced for part in self._parts.values())

    def claim_all(self) -> None:
        """Take over everything that is pending in the group, for a stage with one consumer."""
        for part in self._parts.values():
            self._find(part)
            try:
                part.inbox.claim_all()
            except LogUnavailableError as error:
                self._lost(part, error)
                raise

    # -- the partitions ----------------------------------------------------------------------------

    def _receive_from_all(self, count_max: int) -> list[Delivery]:
        """What has come, from each partition its share; the first one to be asked changes."""
        parts = list(self._parts.values())
        self._turn = (self._turn + 1) % len(parts)
        share = -(-count_max // len(parts))
        found: list[Delivery] = []
        problem: LogUnavailableError | None = None
        answering = 0
        for part in parts[self._turn :] + parts[: self._turn]:
            if time.monotonic() < part.until:
                continue
            try:
                self._find(part)
                found += part.inbox.receive(min(share, count_max - len(found)), 0)
            except LogUnavailableError as error:
                self._lost(part, error)
                problem = error
            else:
                answering += 1
                part.backoff.reset()
        if problem is not None and not answering and not found:
            raise problem
        return found

    def _decide_pause(self) -> float:
        """Seconds until something is due that no descriptor tells."""
        now = time.monotonic()
        waits = [part.until - now for part in self._parts.values() if part.until > now]
        return min([self._hold_s, *waits])

    def _find(self, part: _Part) -> None:
        if part.url:
            return
        url = self._layout.find(part.partition)
        if url is None:
            self._layout.look()
            url = self._layout.find(part.partition)
        if url is None:
            raise LogUnavailableError(f"no master holds partition {part.partition}")
        part.inbox.move(url)
        part.url = url

    def _lost(self, part: _Part, error: LogUnavailableError) -> None:
        """Leave the partition alone for a while; whoever looks for it next asks the cluster."""
        part.url = ""
        self._layout.forget(part.partition)
        part.backoff.wait(part, error)
