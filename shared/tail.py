"""The end of the streams, read beside the stages: in bounded pieces, nothing written.

Not here: what is made of it (`console`). Never KEYS or SCAN; every range has a COUNT, and what
blocks does so on a connection of its own, which Redis serves without being held up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

from shared.redis_errors import waiting_for_redis
from shared.topology import STREAMS, Stream, job_key, key

Entry = tuple[str, bytes]  # entry id, event


class Place(NamedTuple):
    """One stream of one partition."""

    stream: Stream
    partition: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """How far the group of a stream is, and who is in it."""

    place: Place
    read: int | None  # entries handed out since the stream began; None: Redis cannot tell
    lag: int | None  # entries not handed out yet; None: Redis cannot tell
    pending: int  # handed out, not acknowledged
    consumers_idle_ms: tuple[int, ...]  # since each one was heard of last


class Tail:
    """Reads one Redis. Every call raises LogUnavailableError without it."""

    def __init__(self, url: str, partitions: int = 1) -> None:
        self._redis: Any = redis.Redis.from_url(
            url, protocol=2, socket_connect_timeout=2, socket_timeout=5
        )
        self._partitions = partitions

    def list_places(self, streams: Sequence[Stream] = STREAMS) -> list[Place]:
        """Every stream in every partition."""
        return [Place(one, number) for one in streams for number in range(self._partitions)]

    @waiting_for_redis
    def newest(self, place: Place, count: int, before: str = "+", after: str = "-") -> list[Entry]:
        """At most `count` entries between two ids, newest first; `(id` leaves the id out."""
        found = self._redis.xrevrange(key(*place), before, after, count=count)
        return [(entry_id.decode(), fields[b"event"]) for entry_id, fields in found]

    @waiting_for_redis
    def wait(
        self, positions: Mapping[Place, str], count: int, block_ms: int
    ) -> dict[Place, list[Entry]]:
        """What comes after each position, at most `count` a place; empty after `block_ms`."""
        places = {key(*place).encode(): place for place in positions}
        wanted = {key(*place): entry_id for place, entry_id in positions.items()}
        found = self._redis.xread(wanted, count=count, block=block_ms)
        return {
            places[name]: [(entry_id.decode(), fields[b"event"]) for entry_id, fields in entries]
            for name, entries in found
        }

    @waiting_for_redis
    def read_entries(self, wanted: Sequence[tuple[Place, str]]) -> list[bytes | None]:
        """The events of some entry ids, in one round trip; None where one is gone."""
        with self._redis.pipeline(transaction=False) as pipe:
            for place, entry_id in wanted:
                pipe.xrange(key(*place), entry_id, entry_id, count=1)
            return [found[0][1][b"event"] if found else None for found in pipe.execute()]

    @waiting_for_redis
    def read_groups(self) -> list[GroupState]:
        """Every group that exists; two round trips."""
        places = [place for place in self.list_places() if place.stream.group]
        with self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.xinfo_groups(key(*place))
            answers = pipe.execute(raise_on_error=False)
        # An absent stream answers with an error, and has no group.
        groups = [
            (place, group)
            for place, answer in zip(places, answers, strict=True)
            if isinstance(answer, list)
            for group in answer
            if group["name"] == place.stream.group.encode()
        ]
        with self._redis.pipeline(transaction=False) as pipe:
            for place, _ in groups:
                pipe.xinfo_consumers(key(*place), place.stream.group)
            consumers = pipe.execute(raise_on_error=False) if groups else []
        return [
            GroupState(
                place=place,
                read=group.get("entries-read"),
                lag=group.get("lag"),
                pending=group["pending"],
                consumers_idle_ms=tuple(one["idle"] for one in idle)
                if isinstance(idle, list)
                else (),
            )
            for (place, group), idle in zip(groups, consumers, strict=True)
        ]

    @waiting_for_redis
    def read_document(self, request_id: str) -> bytes | None:
        """The published result document; None where it is gone, or not there yet."""
        found: bytes | None = self._redis.get(job_key(request_id))
        return found

    @waiting_for_redis
    def read_now_ms(self) -> int:
        """Redis's clock, which entry ids are made of; Unix time."""
        seconds, microseconds = self._redis.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
