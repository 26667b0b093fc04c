"""streaQ, on Redis Streams as Hearth is. Runs in the peers' environment."""

import os

import anyio
import handlers
from anyio.from_thread import start_blocking_portal
from streaq import Worker

worker = Worker(redis_url=os.environ["PEERS_REDIS"], concurrency=32)


@worker.task()
async def noop() -> None:
    """As `handlers.noop`."""
    await handlers.noop_async()


@worker.task()
async def five_ms() -> None:
    """As `handlers.five_ms`."""
    await handlers.five_ms_async()


_TASKS = {"noop": noop, "five_ms": five_ms}


class Peer:
    """What the driver asks for."""

    def __init__(self) -> None:
        self._opened = start_blocking_portal()
        self._portal = self._opened.__enter__()
        self._joined = self._portal.wrap_async_context_manager(worker)
        self._joined.__enter__()

    def call(self) -> None:
        """One call, and its result."""

        async def call() -> None:
            task = await noop.enqueue()
            await task.result(10)

        self._portal.call(call)

    def send(self, name: str, count: int) -> None:
        """Many at once."""

        async def send() -> None:
            for first in range(0, count, 100):
                many = range(first, min(first + 100, count))
                await worker.enqueue_many([_TASKS[name].enqueue() for _ in many])
                await anyio.lowlevel.checkpoint()

        self._portal.call(send)
