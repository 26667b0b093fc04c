"""rq with workers that do not fork for each job. Runs in the peers' environment."""

import os

import handlers
from redis import Redis
from rq import Queue

_connection = Redis.from_url(os.environ["PEERS_REDIS"])
_queue = Queue(connection=_connection)
_TASKS = {"noop": handlers.noop, "five_ms": handlers.five_ms}


class Peer:
    """What the driver asks for."""

    def call(self) -> None:
        """One call, and its result."""
        job = _queue.enqueue(handlers.noop)
        assert job.latest_result(timeout=3) is not None

    def send(self, name: str, count: int) -> None:
        """Many at once."""
        for first in range(0, count, 100):
            many = range(first, min(first + 100, count))
            _queue.enqueue_many([Queue.prepare_data(_TASKS[name]) for _ in many])
