"""huey: its Redis queue, results kept. Runs in the peers' environment."""

import os
import time

import handlers
from huey import RedisHuey

huey = RedisHuey("peers", url=os.environ["PEERS_REDIS"], store_none=True)
noop = huey.task()(handlers.noop)
five_ms = huey.task()(handlers.five_ms)
_TASKS = {"noop": noop, "five_ms": five_ms}


class Peer:
    """What the driver asks for."""

    def call(self) -> None:
        """One call, and its result."""
        result = noop()
        while not huey.storage.has_data_for_key(result.id):
            time.sleep(0.0002)  # its own wait begins with a tenth of a second

    def send(self, name: str, count: int) -> None:
        """Many at once."""
        for _ in range(count):
            _TASKS[name]()
