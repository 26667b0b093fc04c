"""dramatiq: Redis broker and results. Runs in the peers' environment."""

import os

import dramatiq
import handlers
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=os.environ["PEERS_REDIS"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["PEERS_REDIS"])))
dramatiq.set_broker(broker)
noop = dramatiq.actor(handlers.noop, store_results=True)
five_ms = dramatiq.actor(handlers.five_ms, store_results=True)
_TASKS = {"noop": noop, "five_ms": five_ms}


class Peer:
    """What the driver asks for."""

    def call(self) -> None:
        """One call, and its result."""
        noop.send().get_result(block=True, timeout=10_000)

    def send(self, name: str, count: int) -> None:
        """Many at once."""
        for _ in range(count):
            _TASKS[name].send()
