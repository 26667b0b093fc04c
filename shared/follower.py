"""Events as they are appended, for whoever looks on: no group, nothing is acknowledged.

Not here: stages (`redis_inbox`), which must handle every entry once.
"""

from collections.abc import Sequence

from shared.log import Log, waiting_for_redis
from shared.topology import STREAMS, Stream, key

_COUNT = 500


class Follower(Log):
    """Reads some streams from a moment on. Every call raises LogUnavailableError without Redis."""

    def __init__(self, url: str, partitions: int = 1, streams: Sequence[Stream] = STREAMS) -> None:
        super().__init__(url, partitions)
        self._streams = {
            key(stream, partition): stream for stream in streams for partition in range(partitions)
        }
        self._positions: dict[str, str] = {}

    def start(self, since_ms: int | None = None) -> None:
        """Begin with what is appended from now on, or was since a moment (Unix time)."""
        for partition in range(self._partitions):
            for name, stream in self._streams.items():
                if name != key(stream, partition):
                    continue
                before = None if since_ms is None else f"{max(since_ms - 1, 0)}-{(1 << 64) - 1}"
                self._positions[name] = before or self.last_id(stream, partition)

    @waiting_for_redis
    def read(self, block_ms: int) -> list[tuple[Stream, str, bytes]]:
        """Stream, entry id and event of the next entries, oldest first; waits for the first.

        `block_ms` 0: returns at once.
        """
        replies = self._redis.xread(self._positions, count=_COUNT, block=block_ms or None) or []
        found = []
        for name, entries in replies:
            text = name.decode()
            for entry_id, fields in entries:
                found.append((self._streams[text], entry_id.decode(), fields[b"event"]))
                self._positions[text] = entry_id.decode()
        return sorted(found, key=lambda one: int(one[1].partition("-")[0]))
