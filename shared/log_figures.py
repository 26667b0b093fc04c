"""What the log says of itself: how long its streams are, and how far behind their stages.

Asked at a pace of its own (`watch`), so that neither a stage nor a scrape ever waits for it.
Not here: the figures as metrics (`metrics_text`).
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from shared.log import Log
from shared.topology import MODELS, STREAMS, Stream, key

LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream, its partitions together. None: nobody reads it in a group."""

    stream: str
    stage: str
    entries: int
    lag: int | None = None
    pending: int | None = None
    oldest_age_s: float | None = None
    consumers: int | None = None


@dataclass(slots=True)
class Figures:
    """What was read last; `up` is false from the first time that nothing answered."""

    up: bool = False
    memory_bytes: int = 0
    memory_bytes_max: int = 0
    streams: Sequence[StreamFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Part:
    """One stream in one partition; `oldest_ms` is None where everything is acknowledged."""

    entries: int
    lag: int
    pending: int
    consumers: int
    oldest_ms: int | None


class LogFigures(Log):
    """A log that is asked for figures only."""

    def read(self, now_ms: int) -> Figures:
        """Ask for all of it. Raises redis.RedisError."""
        memory = self._redis.info("memory")
        return Figures(
            up=True,
            memory_bytes=memory["used_memory"],
            memory_bytes_max=memory["maxmemory"] or memory["total_system_memory"],
            streams=[self._read_stream(stream, now_ms) for stream in STREAMS],
        )

    def _read_stream(self, stream: Stream, now_ms: int) -> StreamFigures:
        names = [key(stream, partition) for partition in range(self._partitions)]
        if stream is MODELS:
            entries = sum(self._redis.xlen(name) for name in names)
            return StreamFigures(stream.name, stream.group, entries)
        parts = [self._read_part(name, stream.group) for name in names]
        oldest = [one.oldest_ms for one in parts if one.oldest_ms is not None]
        return StreamFigures(
            stream.name,
            stream.group,
            entries=sum(one.entries for one in parts),
            lag=sum(one.lag for one in parts),
            pending=sum(one.pending for one in parts),
            oldest_age_s=max(now_ms - min(oldest), 0) / 1_000 if oldest else 0.0,
            consumers=sum(one.consumers for one in parts),
        )

    def _read_part(self, name: str, group: str) -> _Part:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(name)
            pipe.xinfo_groups(name)
            pipe.xpending(name, group)
            entries, groups, pending = pipe.execute(raise_on_error=False)
        if isinstance(entries, Exception):
            raise entries
        if isinstance(groups, Exception) and "no such key" not in str(groups):
            raise groups
        found = [] if isinstance(groups, Exception) else groups
        known = next((one for one in found if one["name"] == group.encode()), None)
        if known is None:  # no group yet: nobody has read anything
            return _Part(entries, entries, 0, 0, self._first_after(name, b"-") if entries else None)
        last = known["last-delivered-id"]
        waits = self._first_after(name, b"(" + last)
        lag = known["lag"]
        if lag is None:  # Redis cannot tell after an entry was deleted: count
            lag = len(self._redis.xrange(name, b"(" + last, "+", count=10_000)) if waits else 0
        ids = [] if pending["min"] is None else [_milliseconds(pending["min"])]
        oldest = [*ids, *([] if waits is None else [waits])]
        return _Part(
            entries, lag, known["pending"], known["consumers"], min(oldest) if oldest else None
        )

    def _first_after(self, name: str, position: bytes) -> int | None:
        entries: list[tuple[bytes, Any]] = self._redis.xrange(name, position, "+", count=1)
        return _milliseconds(entries[0][0]) if entries else None


def _milliseconds(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def watch(log: LogFigures, stop: threading.Event, tell: Callable[[Figures], None]) -> None:
    """Ask every LOOK_SECONDS until `stop`. Where nothing answers, the figures say that alone."""
    while not stop.is_set():
        try:
            figures = log.read(time.time_ns() // 1_000_000)
        except redis.RedisError:
            figures = Figures()
        tell(figures)
        stop.wait(LOOK_SECONDS)
    log.close()
