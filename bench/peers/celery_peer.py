"""Celery: Redis broker and results. Runs in the peers' environment."""

import os

import handlers
from celery import Celery

app = Celery("peers", broker=os.environ["PEERS_REDIS"], backend=os.environ["PEERS_REDIS"])
app.conf.update(
    worker_prefetch_multiplier=64,
    task_acks_late=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
noop = app.task(handlers.noop, name="noop")
five_ms = app.task(handlers.five_ms, name="five_ms")
_TASKS = {"noop": noop, "five_ms": five_ms}


class Peer:
    """What the driver asks for."""

    def call(self) -> None:
        """One call, and its result."""
        noop.delay().get(timeout=10)

    def send(self, name: str, count: int) -> None:
        """Many at once."""
        for _ in range(count):
            _TASKS[name].apply_async(ignore_result=False)
