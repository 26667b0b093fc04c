"""arq, which polls: every millisecond here. Runs in the peers' environment."""

import asyncio
import os

import handlers
from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import ResultNotFound

_redis = RedisSettings.from_dsn(os.environ["PEERS_REDIS"])


async def noop(_context: object) -> None:
    """As `handlers.noop`."""
    await handlers.noop_async()


async def five_ms(_context: object) -> None:
    """As `handlers.five_ms`."""
    await handlers.five_ms_async()


class WorkerSettings:
    """Read by arq's command."""

    functions = (noop, five_ms)
    redis_settings = _redis
    poll_delay = 0.001
    max_jobs = 32
    keep_result = 60


class Peer:
    """What the driver asks for."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._pool = self._runner.run(create_pool(_redis))

    def call(self) -> None:
        """One call, and its result."""

        async def call() -> None:
            job = await self._pool.enqueue_job("noop")
            while True:
                try:
                    await job.result(timeout=10, poll_delay=0.0002)
                except ResultNotFound:  # it ended between arq's two looks
                    continue
                return

        self._runner.run(call())

    def send(self, name: str, count: int) -> None:
        """Many at once."""

        async def send() -> None:
            for first in range(0, count, 100):
                many = range(first, min(first + 100, count))
                await asyncio.gather(*[self._pool.enqueue_job(name) for _ in many])

        self._runner.run(send())
