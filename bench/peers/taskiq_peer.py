"""taskiq with its Redis list broker and results. Runs in the peers' environment."""

import asyncio
import os

import handlers
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

_url = os.environ["PEERS_REDIS"]
broker = ListQueueBroker(_url).with_result_backend(RedisAsyncResultBackend(_url))
noop = broker.task(task_name="noop")(handlers.noop_async)
five_ms = broker.task(task_name="five_ms")(handlers.five_ms_async)
_TASKS = {"noop": noop, "five_ms": five_ms}


class Peer:
    """What the driver asks for."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.run(broker.startup())

    def call(self) -> None:
        """One call, and its result."""

        async def call() -> None:
            task = await noop.kiq()
            await task.wait_result(check_interval=0.0002, timeout=10)

        self._runner.run(call())

    def send(self, name: str, count: int) -> None:
        """Many at once."""

        async def send() -> None:
            for first in range(0, count, 100):
                many = range(first, min(first + 100, count))
                await asyncio.gather(*[_TASKS[name].kiq() for _ in many])

        self._runner.run(send())
