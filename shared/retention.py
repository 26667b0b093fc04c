"""The log as something bounded: how far it is archived, what may be trimmed, how full Redis is.

Not here: the archive itself (`archive`), when something is archived (the archiver). Every call
raises LogUnavailableError without Redis.
"""

from typing import NamedTuple

from msgspec import json

from shared.address import is_cluster
from shared.connection import Connection
from shared.redis_errors import waiting_for_redis
from shared.stretch import START, Bounds
from shared.topology import MODELS, Stream, archive_key, key

Entries = list[tuple[str, bytes]]  # entry id and event

_encoder = json.Encoder()
_decoder = json.Decoder(Bounds)


class Page(NamedTuple):
    """Entries of the log, and how far the stream was archived when they were read."""

    archived_until: str
    entries: Entries


class Marks(NamedTuple):
    """How far a stream is archived, and what waits."""

    archived_until: str
    plan: Bounds | None  # a stretch that was begun
    oldest_id: str  # not archived; empty: there is none
    waiting: int  # entries that are not archived


class Memory(NamedTuple):
    """Of Redis. `max_bytes` is 0 without a bound."""

    used_bytes: int
    max_bytes: int

    @property
    def share(self) -> float:
        """How full it is."""
        return self.used_bytes / self.max_bytes if self.max_bytes else 0.0


class Retention(Connection):
    """The streams' ends and the archive's marks, which only this class writes."""

    @waiting_for_redis
    def read_page(self, stream: Stream, partition: int, after: str, count: int) -> Page:
        """The next entries. Where `archived_until` lies after `after`, some may be gone from them.

        The mark is read after the entries and only grows, so no transaction is needed; a Redis
        that is full would refuse one.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xrange(key(stream, partition), f"({after}", "+", count=count)
            pipe.hget(archive_key(partition), f"{stream.name}:until")
            entries, until = pipe.execute()
        return Page(until.decode() if until else START, _read_entries(entries))

    @waiting_for_redis
    def read_between(self, stream: Stream, partition: int, bounds: tuple[str, str]) -> Entries:
        """Entries from one to another, both included, as many as fit one answer; ask again."""
        first, last = bounds
        return _read_entries(self._redis.xrange(key(stream, partition), first, last, count=250))

    @waiting_for_redis
    def read_marks(self, stream: Stream, partition: int) -> Marks:
        """Where archiving stands."""
        marks, name = archive_key(partition), key(stream, partition)
        fields = [f"{stream.name}:{field}" for field in ("until", "plan", "rows")]
        until, plan, rows = self._redis.hmget(marks, fields)
        past = until.decode() if until else START
        oldest = self._redis.xrange(name, f"({past}", "+", count=1)
        added = self._redis.xinfo_stream(name)["entries-added"] if oldest else 0
        return Marks(
            past,
            _decoder.decode(plan) if plan else None,
            oldest[0][0].decode() if oldest else "",
            max(added - int(rows or 0), 1) if oldest else 0,
        )

    @waiting_for_redis
    def plan(self, stream: Stream, partition: int, bounds: Bounds) -> Bounds | None:
        """Decide what the next stretch holds; what was decided before stands.

        None: somebody else archived meanwhile.
        """
        arguments = [stream.name, bounds.after, _encoder.encode(bounds)]
        reply = self._run("plan", [archive_key(partition)], arguments)
        return _decoder.decode(reply) if reply else None

    @waiting_for_redis
    def finish(self, stream: Stream, partition: int, bounds: Bounds) -> bool:
        """A stretch is in the manifest; False: somebody else said so before."""
        arguments = [stream.name, bounds.after, bounds.last, bounds.rows]
        return bool(self._run("archived", [archive_key(partition)], arguments) == 1)

    @waiting_for_redis
    def trim(self, stream: Stream, partition: int, first_kept: str) -> int:
        """Remove what is archived and handled, before `first_kept`; how many entries went."""
        group = "" if stream is MODELS else stream.group
        keys = [key(stream, partition), archive_key(partition)]
        total = 0
        while gone := self._run("trim", keys, [stream.name, group, first_kept, 1_000]):
            total += gone
        return total

    @waiting_for_redis
    def read_memory(self) -> Memory:
        """How full Redis is; of a cluster, the fullest of its masters."""
        if is_cluster(self._url):
            found = self._redis.info("memory", target_nodes="primaries")
            nodes = found.values() if "used_memory" not in found else [found]
        else:
            nodes = [self._redis.info("memory")]
        memories = [Memory(one["used_memory"], one["maxmemory"]) for one in nodes]
        return max(memories, key=lambda memory: (memory.share, memory.used_bytes))


def _read_entries(found: list[tuple[bytes, dict[bytes, bytes]]]) -> Entries:
    return [(entry_id.decode(), fields.get(b"event", b"")) for entry_id, fields in found]
