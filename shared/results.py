"""Results as their sender hears them: announced on a channel, kept under a key for a while.

Not here: who announces them (`log`), sending (`cli/sender`). Pub/sub forgets what nobody hears, so
a sender looks at the key too, now and then.
"""

from collections.abc import Sequence
from typing import Any

from shared.log import Log
from shared.redis_errors import waiting_for_redis
from shared.topology import accepted_key, job_key, result_channel


class Results(Log):
    """The log, as a sender sees it. Every call raises LogUnavailableError without Redis."""

    def __init__(self, url: str, partitions: int = 1) -> None:
        super().__init__(url, partitions)
        self._channel: Any = None

    @waiting_for_redis
    def listen(self, prefix: str) -> None:
        """Hear of every request whose id begins with `prefix`, from now on."""
        self._channel = self._redis.pubsub(ignore_subscribe_messages=True)
        self._channel.psubscribe(result_channel(f"{prefix}*"))
        self._channel.get_message(timeout=5)  # the server's word that it has begun

    @waiting_for_redis
    def hear(self, seconds: float) -> bytes | None:
        """The next document that is announced within that time."""
        message = self._channel.get_message(timeout=seconds)
        if message is None or message["type"] != "pmessage":
            return None
        return bytes(message["data"])

    @waiting_for_redis
    def look_up(self, request_ids: Sequence[str]) -> list[bytes]:
        """The documents among these that are kept."""
        if not request_ids:
            return []
        found: list[bytes | None] = [self._redis.get(job_key(one)) for one in request_ids[:100]]
        return [document for document in found if document is not None]

    @waiting_for_redis
    def is_accepted(self, request_id: str, function_id: str) -> bool:
        """Whether ingest took the message, now or a while ago."""
        mark = accepted_key(request_id, self.partition_of(function_id))
        return bool(self._redis.exists(mark))

    def close(self) -> None:
        """Close the connections."""
        if self._channel is not None:
            self._channel.close()
        super().close()
