"""Entries that one consumer leaves to another of its group, and what consumers tell one another.

An offer changes nothing by itself: the owner keeps the entry until somebody takes it, and both
steps are atomic, so an entry has one owner at any time. Not here: who offers what (`executor`).
"""

from typing import Any

from shared.connection import Connection
from shared.inbox import Delivery
from shared.redis_errors import waiting_for_redis
from shared.topology import EXECUTORS_CHANNEL, key, offer_key


class Offers(Connection):
    """The offers of one log. Every call raises LogUnavailableError without it."""

    @waiting_for_redis
    def offer(self, delivery: Delivery, owner: str, ttl_ms: int, message: bytes) -> None:
        """Leave a delivery to whoever understands the message, for `ttl_ms` at most."""
        name = offer_key(delivery.entry_id, delivery.partition)
        self._run("offer", [name], [owner, ttl_ms, EXECUTORS_CHANNEL, message])

    @waiting_for_redis
    def keep(self, delivery: Delivery, owner: str) -> bool:
        """Take the offer back; False where the entry has another owner by now."""
        keys = [
            offer_key(delivery.entry_id, delivery.partition),
            key(delivery.stream, delivery.partition),
        ]
        return bool(self._run("keep", keys, [delivery.stream.group, owner, delivery.entry_id]) == 1)

    @waiting_for_redis
    def take(self, offered: Delivery, owner: str, taker: str) -> Delivery | None:
        """The delivery as the taker's own; `offered` has its place. None where it is gone."""
        keys = [
            offer_key(offered.entry_id, offered.partition),
            key(offered.stream, offered.partition),
        ]
        args = [offered.stream.group, owner, taker, offered.entry_id]
        found = self._run("take", keys, args)
        if found is None:
            return None
        payload, attempt = found
        return Delivery(offered.stream, offered.partition, offered.entry_id, attempt, payload)

    @waiting_for_redis
    def tell(self, message: bytes) -> None:
        """Tell all consumers that listen."""
        self._redis.publish(EXECUTORS_CHANNEL, message)

    def listen(self) -> "Listener":
        """Hear what is told from now on."""
        return Listener(self._subscribe())

    @waiting_for_redis
    def _subscribe(self) -> Any:  # noqa: ANN401
        heard = self._redis.pubsub(ignore_subscribe_messages=True)
        heard.subscribe(EXECUTORS_CHANNEL)
        return heard


class Listener:
    """What is told, message by message. One thread owns it."""

    def __init__(self, heard: Any) -> None:  # noqa: ANN401
        self._heard = heard

    @waiting_for_redis
    def get(self, seconds: float) -> bytes | None:
        """The next message, or None after a while."""
        message = self._heard.get_message(timeout=seconds)
        return None if message is None else bytes(message["data"])

    def close(self) -> None:
        """Hear no more."""
        self._heard.close()
