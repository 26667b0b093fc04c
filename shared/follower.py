"""Events as they are appended, for whoever looks on: no group, nothing is acknowledged.

Not here: stages (`redis_inbox`), which must handle every entry once.
"""

import time
from collections.abc import Sequence

from shared.log import Log
from shared.redis_errors import waiting_for_redis
from shared.topology import STREAMS, Stream, key

_COUNT = 500
_LOOK_MS = 100


class Follower(Log):
    """Reads some streams from a moment on. Every call raises LogUnavailableError without Redis."""

    def __init__(self, url: str, partitions: int = 1, streams: Sequence[Stream] = STREAMS) -> None:
        super().__init__(url, partitions)
        self._streams = tuple(streams)
        self._positions: dict[str, str] = {}

    def start(self, since_ms: int | None = None) -> None:
        """Begin with what is appended from now on, or was since a moment (Unix time)."""
        before = None if since_ms is None else f"{max(since_ms - 1, 0)}-{(1 << 64) - 1}"
        for partition in range(self._partitions):
            for stream in self._streams:
                name = key(stream, partition)
                self._positions[name] = before or self.last_id(stream, partition)

    def read(self, block_ms: int) -> list[tuple[Stream, str, bytes]]:
        """Stream, entry id and event of the next entries, oldest first; waits for the first.

        `block_ms` 0: returns at once.
        """
        alone = self._partitions == 1
        found = []
        for partition in range(self._partitions):
            found += self._read(partition, block_ms if alone else 0)
        if not found and not alone:
            time.sleep(min(block_ms, _LOOK_MS) / 1_000)
        return sorted(found, key=lambda one: int(one[1].partition("-")[0]))

    @waiting_for_redis
    def _read(self, partition: int, block_ms: int) -> list[tuple[Stream, str, bytes]]:
        """Of one partition: its streams are in one slot of a cluster, and those of two are not."""
        names = {key(stream, partition): stream for stream in self._streams}
        positions = {name: self._positions[name] for name in names}
        replies = self._redis.xread(positions, count=_COUNT, block=block_ms or None) or []
        found = []
        for name, entries in replies:
            text = name.decode()
            for entry_id, fields in entries:
                found.append((names[text], entry_id.decode(), fields[b"event"]))
                self._positions[text] = entry_id.decode()
        return found
