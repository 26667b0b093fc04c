"""The log beside the inboxes: what edges append, look up and publish. Safe for several threads.

Not here: receiving and committing (`redis_inbox`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from shared.codec import encode
from shared.connection import Connection
from shared.events import (
    DeadLettered,
    Event,
    InvocationRejected,
    InvocationRequested,
    MemoryLimitChanged,
)
from shared.redis_errors import waiting_for_redis
from shared.scripts import DIGESTS, TEXTS
from shared.stretch import name_entry_before, parse_entry_id
from shared.topology import (
    DEAD,
    REQUESTS,
    Stream,
    accepted_key,
    active_key,
    job_key,
    key,
    limits_key,
    partition_of,
    standby_key,
    stream_of,
)

_MESSAGE = "message:"
_MESSAGE_LIFE_S = 14 * 86_400  # SQS keeps none for longer


class Accepted(StrEnum):
    """What a message meant: a new request, one that runs already, or one that has its result."""

    NEW = "new"
    IN_FLIGHT = "in_flight"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a try to lead."""

    leads: bool
    left_ms: int  # until the lead runs out, whoever has it
    standby_led: int  # the fewest partitions that a standby of this one leads; -1 without one


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A result document and the channels that hear of it."""

    request_id: str
    channels: tuple[str, ...]
    document: bytes


class Log(Connection):
    """The streams and keys of one Redis. Every call raises LogUnavailableError without it."""

    def partition_of(self, function_id: str) -> int:
        """The partition that holds all events of a function."""
        return partition_of(function_id, self._partitions)

    @waiting_for_redis
    def accept(
        self, event: InvocationRequested | InvocationRejected, *, message_id: str, receipt: str
    ) -> Accepted:
        """Append the request unless its id is known; remember the SQS message either way."""
        partition = self.partition_of(event.function_id)
        state = self._run(
            "accept",
            [accepted_key(event.invocation_id, partition), key(REQUESTS, partition)],
            [message_id, receipt, encode(event)],
        )
        return Accepted(state.decode())

    @waiting_for_redis
    def grant(self, change: MemoryLimitChanged) -> None:
        """Remember the limit that the tuner has set; what is newer stays."""
        self._run(
            "grant",
            [limits_key(self.partition_of(change.function_id))],
            [change.function_id, change.occurred_at_ms, change.to_mb],
        )

    @waiting_for_redis
    def granted_mb(self, function_id: str) -> int | None:
        """The limit that the tuner has set for a function; None before the first change."""
        granted = self._redis.hget(limits_key(self.partition_of(function_id)), function_id)
        return None if granted is None else int(granted.partition(b":")[2])

    @waiting_for_redis
    def messages_of(self, requests: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """SQS message id -> newest receipt handle, for (request id, function id) pairs."""
        with self._redis.pipeline(transaction=False) as pipe:
            for request_id, function_id in requests:
                pipe.hgetall(accepted_key(request_id, self.partition_of(function_id)))
            marks = pipe.execute()
        return [
            {
                field.decode().removeprefix(_MESSAGE): receipt.decode()
                for field, receipt in mark.items()
                if field.startswith(_MESSAGE.encode())
            }
            for mark in marks
        ]

    @waiting_for_redis
    def settle(self, requests: Sequence[tuple[str, str]], ttl_s: int) -> None:
        """Forget the messages; keep for `ttl_s` seconds that the request has its result."""
        marks: dict[int, list[str]] = {}
        for request_id, function_id in requests:
            partition = self.partition_of(function_id)
            marks.setdefault(partition, []).append(accepted_key(request_id, partition))
        for alike in marks.values():  # a transaction is within one slot of a cluster
            with self._redis.pipeline(transaction=True) as pipe:
                for mark in alike:
                    pipe.delete(mark)
                    pipe.hset(mark, "state", Accepted.SETTLED.value)
                    pipe.expire(mark, ttl_s)
                pipe.execute()

    @waiting_for_redis
    def backlog(self, stream: Stream) -> int:
        """Entries that the stream's group has not acknowledged, in all partitions."""
        total = 0
        for partition in range(self._partitions):
            name = key(stream, partition)
            if not self._redis.exists(name):
                continue
            groups = [group for group in self._redis.xinfo_groups(name)
                      if group["name"] == stream.group.encode()]  # fmt: skip
            # No group yet: nobody has read anything. No lag: Redis cannot tell after a trim.
            lag = groups[0]["lag"] if groups else None
            total += self._redis.xlen(name) if lag is None else lag + groups[0]["pending"]
        return total

    @waiting_for_redis
    def publish(self, results: Sequence[PublishedResult], ttl_s: int) -> list[bool]:
        """Keep and announce each result once, in one round trip; True where it was news."""
        try:
            return self._publish(results, ttl_s)
        except redis.exceptions.NoScriptError:  # a Redis that was started anew
            self._redis.script_load(TEXTS["publish"])
            return self._publish(results, ttl_s)

    def _publish(self, results: Sequence[PublishedResult], ttl_s: int) -> list[bool]:
        # By digest: redis-py's registered scripts would cost a round trip more in a pipeline.
        with self._redis.pipeline(transaction=False) as pipe:
            for result in results:
                pipe.execute_command(  # `evalsha` is closed on a cluster's pipelines
                    "EVALSHA",
                    DIGESTS["publish"],
                    1,
                    job_key(result.request_id),
                    result.document,
                    ttl_s,
                    *result.channels,
                )
            return [reply == 1 for reply in pipe.execute()]

    @waiting_for_redis
    def bury_message(self, stage: str, payload: bytes, reason: str, invocation_id: str) -> None:
        """Keep a message that never became an entry, with the reason; once for each message id."""
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
        keys = [accepted_key(invocation_id, 0), key(DEAD, 0)]
        self._run("bury", keys, [encode(letter), _MESSAGE_LIFE_S])

    @waiting_for_redis
    def append(self, event: Event, *, partition: int) -> str:
        """Append one event to the stream of its type; returns the entry id."""
        entry_id = self._redis.xadd(
            key(stream_of(type(event).__name__), partition), {"event": encode(event)}
        )
        return str(entry_id.decode())

    @waiting_for_redis
    def run(self, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - Redis's
        """Run one of the scripts; its keys are of one partition."""
        return self._run(script, keys, args)

    @waiting_for_redis
    def contend(
        self, stage: str, partition: int, consumer: str, ttl_ms: int, *, led: int = 0
    ) -> Standing:
        """Take or keep the lead of a partition, of which one consumer may be active.

        `led`: how many partitions the consumer's process leads, for those who have too many.
        """
        keys = [active_key(stage, partition), standby_key(stage, partition)]
        leads, left_ms, standby_led = self._run("lead", keys, [consumer, ttl_ms, led])
        return Standing(bool(leads == 1), left_ms, standby_led)

    def lead(self, stage: str, consumer: str, ttl_ms: int) -> bool:
        """Take or keep the lead of a stage that has one, whatever the partitions."""
        standing: Standing = self.contend(stage, 0, consumer, ttl_ms)
        return standing.leads

    @waiting_for_redis
    def resign(self, stage: str, consumer: str, partition: int = 0) -> None:
        """Give the lead up."""
        self._run("resign", [active_key(stage, partition)], [consumer])

    def entries(
        self, stream: Stream, partition: int, last: str = "+"
    ) -> Iterator[tuple[str, bytes]]:
        """Entry id and event of all that is there up to `last`, oldest first, handled or not."""
        return self._entries(stream, partition, "-", last)

    def _entries(
        self, stream: Stream, partition: int, after: str, last: str
    ) -> Iterator[tuple[str, bytes]]:
        while entries := self._range(key(stream, partition), after, last):
            for entry_id, fields in entries:
                after = f"({entry_id.decode()}"
                yield entry_id.decode(), fields[b"event"]

    def unhandled(self, stream: Stream) -> Iterator[bytes]:
        """Events that the stream's group has not acknowledged, in all partitions, oldest first."""
        for partition in range(self._partitions):
            last, pending = self.position(stream, partition)
            name = key(stream, partition)
            for entry_id in sorted(pending, key=parse_entry_id):
                for _, fields in self._range(name, entry_id, entry_id):
                    yield fields[b"event"]
            for _, payload in self._entries(stream, partition, f"({last}", "+"):
                yield payload

    def settled_until(self, stream: Stream, partition: int) -> str:
        """An entry id up to which the stream's group has handled everything."""
        last, pending = self.position(stream, partition)
        # The entry before may be trimmed, so the id is counted and not looked up.
        return name_entry_before(min(pending, key=parse_entry_id)) if pending else last

    def position(self, stream: Stream, partition: int) -> tuple[str, frozenset[str]]:
        """The last entry that the stream's group was given, and those it has not acknowledged."""
        last, pending = self._position(stream, partition)
        return last, frozenset(entry_id.decode() for entry_id in pending)

    @waiting_for_redis
    def last_id(self, stream: Stream, partition: int) -> str:
        """The id of the newest entry; 0-0 without any."""
        newest: list[tuple[bytes, object]] = self._redis.xrevrange(key(stream, partition), count=1)
        return str(newest[0][0].decode()) if newest else "0-0"

    def newest(self, stream: Stream, partition: int) -> Iterator[bytes]:
        """Every event of the stream that is still there, newest first."""
        name, before = key(stream, partition), "+"
        while entries := self._range_back(name, before):
            for entry_id, fields in entries:
                before = f"({entry_id.decode()}"
                yield fields[b"event"]

    @waiting_for_redis
    def _range_back(self, name: str, before: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrevrange(
            name, before, "-", count=500
        )
        return found

    @waiting_for_redis
    def _range(self, name: str, after: str, last: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrange(
            name, after, last, count=1_000
        )
        return found

    @waiting_for_redis
    def _position(self, stream: Stream, partition: int) -> tuple[str, set[bytes]]:
        name = key(stream, partition)
        if not self._redis.exists(name):
            return "0-0", set()
        for group in self._redis.xinfo_groups(name):
            if group["name"] == stream.group.encode():
                entries = self._redis.xpending_range(name, stream.group, "-", "+", 100_000)
                return group["last-delivered-id"].decode(), {one["message_id"] for one in entries}
        return "0-0", set()

    @waiting_for_redis
    def dead_letters(self, partition: int) -> list[tuple[str, bytes]]:
        """Entry id and event of each entry in the dead stream of a partition."""
        entries = self._redis.xrange(key(DEAD, partition))
        return [(entry_id.decode(), fields[b"event"]) for entry_id, fields in entries]
