"""The log's edge calls in memory: the fake that passes the contract tests of `shared.log.Log`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.codec import encode
from shared.events import (
    DeadLettered,
    Event,
    InvocationRejected,
    InvocationRequested,
    MemoryLimitChanged,
)
from shared.inbox import LogUnavailableError
from shared.log import Accepted, PublishedResult
from shared.topology import Stream, partition_of, result_channel, stream_of
from tests.fakes.memory_inbox import MemoryStreams


@dataclass
class MemoryLog:
    """What `shared.log.Log` does for edges; `available = False` takes it away."""

    streams: MemoryStreams = field(default_factory=MemoryStreams)
    available: bool = True
    messages: dict[str, dict[str, str]] = field(default_factory=dict)  # in flight, by request id
    settled: set[str] = field(default_factory=set)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)  # when and to how many MB
    jobs: dict[str, bytes] = field(default_factory=dict)
    heard: list[tuple[str, bytes]] = field(default_factory=list)  # channel, document

    def accept(
        self, event: InvocationRequested | InvocationRejected, *, message_id: str, receipt: str
    ) -> Accepted:
        """See `Log.accept`."""
        self._check()
        request_id = event.invocation_id
        if request_id in self.settled:
            return Accepted.SETTLED
        known = request_id in self.messages
        self.messages.setdefault(request_id, {})[message_id] = receipt
        if known:
            return Accepted.IN_FLIGHT
        self._append(event, partition_of(event.function_id, self.streams.partitions))
        return Accepted.NEW

    def grant(self, change: MemoryLimitChanged) -> None:
        """See `Log.grant`."""
        self._check()
        at_ms, _ = self.limits.get(change.function_id, (0, 0))
        if change.occurred_at_ms >= at_ms:
            self.limits[change.function_id] = (change.occurred_at_ms, change.to_mb)

    def granted_mb(self, function_id: str) -> int | None:
        """See `Log.granted_mb`."""
        self._check()
        return self.limits[function_id][1] if function_id in self.limits else None

    def messages_of(self, requests: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """See `Log.messages_of`."""
        self._check()
        return [dict(self.messages.get(request_id, {})) for request_id, _ in requests]

    def settle(self, requests: Sequence[tuple[str, str]], ttl_s: int) -> None:
        """See `Log.settle`; the mark stays for ever here."""
        self._check()
        assert ttl_s > 0
        for request_id, _ in requests:
            self.messages.pop(request_id, None)
            self.settled.add(request_id)

    def backlog(self, stream: Stream) -> int:
        """See `Log.backlog`."""
        self._check()
        total = 0
        for partition in range(self.streams.partitions):
            place = (stream.name, partition)
            read = self.streams.position.get(place, 0)
            total += len(self.streams.entries.get(place, [])) - read
            total += len(self.streams.pending.get(place, {}))
        return total

    def unhandled(self, stream: Stream) -> Iterator[bytes]:
        """See `Log.unhandled`."""
        self._check()
        for partition in range(self.streams.partitions):
            place = (stream.name, partition)
            pending = self.streams.pending.get(place, {})
            read = self.streams.position.get(place, 0)
            for number, (entry_id, payload) in enumerate(self.streams.entries.get(place, [])):
                if number >= read or entry_id in pending:
                    yield payload

    def bury_message(self, stage: str, payload: bytes, reason: str, invocation_id: str) -> None:
        """See `Log.bury_message`."""
        self._check()
        if invocation_id in self.settled:
            return
        self.settled.add(invocation_id)
        letter = DeadLettered(
            event_id=invocation_id,
            invocation_id=invocation_id,
            causation_id=invocation_id,
            occurred_at_ms=time.time_ns() // 1_000_000,
            stage=stage,
            stream="",
            entry_id="",
            attempts=1,
            reason=reason[:2_000],
            payload=payload[:180_000],
            payload_bytes=len(payload),
        )
        self._append(letter, 0)

    def publish(self, results: Sequence[PublishedResult], ttl_s: int) -> list[bool]:
        """See `Log.publish`."""
        self._check()
        assert ttl_s > 0
        return [self._publish(result) for result in results]

    def heard_on(self, request_id: str) -> list[bytes]:
        """What was published for one request on its own channel."""
        channel = result_channel(request_id)
        return [document for heard, document in self.heard if heard == channel]

    def _publish(self, result: PublishedResult) -> bool:
        if result.request_id in self.jobs:
            return False
        self.jobs[result.request_id] = result.document
        self.heard += [(channel, result.document) for channel in result.channels]
        return True

    def _append(self, event: Event, partition: int) -> None:
        self.streams.append(stream_of(type(event).__name__).name, partition, encode(event))

    def _check(self) -> None:
        if not self.available:
            raise LogUnavailableError("the test took the log away")
