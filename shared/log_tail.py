"""Reads streams as they grow, without a group: for who looks on and whom nobody waits for.

Not here: consuming (`redis_inbox`). A reader that falls behind a trim misses what was trimmed.
"""

from collections.abc import Sequence

import redis

from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.topology import Stream, key

_COUNT = 500


class LogTail(Log):
    """The entries of some streams that were appended after a moment, each once."""

    def __init__(self, url: str, partitions: int, streams: Sequence[Stream], begin_ms: int) -> None:
        super().__init__(url, partitions)
        self._positions = [
            {key(stream, partition): f"{begin_ms}-0" for stream in streams}
            for partition in range(partitions)
        ]

    def read(self) -> list[tuple[str, bytes]]:
        """Entry id and event of what is new, in the order of the streams; empty: nothing is.

        One read a partition, since its keys are in one slot. Raises LogUnavailableError.
        """
        found: list[tuple[str, bytes]] = []
        try:
            for positions in self._positions:
                found += self._read_partition(positions)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise LogUnavailableError(f"Redis does not answer: {error}") from error
        return found

    def _read_partition(self, positions: dict[str, str]) -> list[tuple[str, bytes]]:
        answer = dict(self._redis.xread(positions, count=_COUNT))
        found = []
        for name in list(positions):
            for entry_id, fields in answer.get(name.encode(), ()):
                positions[name] = entry_id.decode()
                found.append((entry_id.decode(), fields[b"event"]))
        return found
