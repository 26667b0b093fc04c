"""The inboxes that the contract is run on, each with a way to look at what it left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from shared.address import is_cluster, name_node, read_seeds
from shared.inbox import Inbox
from shared.open_inbox import open_inbox
from shared.settings import Settings
from shared.topology import STREAMS, Stream, key
from tests.fakes.memory_inbox import MemoryInbox, MemoryStreams

CLAIM_IDLE_MS = 300


class World(Protocol):
    """A log with consumers on it."""

    def consumer(self, name: str, stream: Stream) -> Inbox:
        """A new consumer."""
        ...

    def append(self, stream: Stream, payload: bytes, partition: int = 0) -> None:
        """Append raw bytes."""
        ...

    def payloads(self, stream: Stream, partition: int = 0) -> Sequence[bytes]:
        """Everything in a stream."""
        ...

    def pending_count(self, stream: Stream) -> int:
        """Entries that were delivered and not acknowledged."""
        ...


@dataclass
class MemoryWorld:
    """The fake."""

    streams: MemoryStreams

    def consumer(self, name: str, stream: Stream) -> Inbox:
        return MemoryInbox(self.streams, stream, name, CLAIM_IDLE_MS)

    def append(self, stream: Stream, payload: bytes, partition: int = 0) -> None:
        self.streams.append(stream.name, partition, payload)

    def payloads(self, stream: Stream, partition: int = 0) -> Sequence[bytes]:
        return [payload for _, payload in self.streams.entries.get((stream.name, partition), [])]

    def pending_count(self, stream: Stream) -> int:
        return sum(
            len(pending) for (name, _), pending in self.streams.pending.items()
            if name == stream.name
        )  # fmt: skip


@dataclass
class RedisWorld:
    """The real thing; `overlapped` or not are two ways through the same code."""

    url: str
    overlapped: bool
    partitions: int = 2

    @property
    def client(self) -> Any:
        if is_cluster(self.url):
            return redis.RedisCluster.from_url(name_node(self.url, read_seeds(self.url)[0]))
        return redis.Redis.from_url(self.url)

    def consumer(self, name: str, stream: Stream) -> Inbox:
        settings = Settings(
            redis_url=self.url, partitions=self.partitions, claim_idle_ms=CLAIM_IDLE_MS
        )
        return open_inbox(settings, stream, name, overlapped=self.overlapped)

    def append(self, stream: Stream, payload: bytes, partition: int = 0) -> None:
        self.client.xadd(key(stream, partition), {"event": payload})

    def payloads(self, stream: Stream, partition: int = 0) -> Sequence[bytes]:
        return [fields[b"event"] for _, fields in self.client.xrange(key(stream, partition))]

    def pending_count(self, stream: Stream) -> int:
        return sum(
            self.client.xpending(key(stream, partition), stream.group)["pending"]
            for partition in range(self.partitions)
        )


ALL_STREAMS = STREAMS
