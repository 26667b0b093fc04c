"""Whether Redis has room for more requests: back-pressure before it is full.

Not here: what makes room (the archiver). What is refused here stays in SQS, and what was accepted
finds the rest of the memory for its results.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.retention import Memory

# Of Redis' bound. The rest is for the results of what is under way: BACKLOG_MAX bounds that.
FULL_SHARE = 0.75
_LOOK_SECONDS = 0.25


class RedisFullError(Exception):
    """Redis is nearly full. Nothing is received until there is room."""


class Full(Protocol):
    """Redis, as seen from here. Raises LogUnavailableError."""

    def read_memory(self) -> Memory:
        """How full it is."""
        ...


@dataclass(slots=True)
class MemoryRoom:
    """Looks a few times a second at most; one receiver's."""

    redis: Full
    clock: Callable[[], float] = time.monotonic
    look_at_s: float = 0.0

    def check(self) -> None:
        """Raise RedisFullError where there is none. Raises LogUnavailableError."""
        if self.clock() < self.look_at_s:
            return
        memory = self.redis.read_memory()
        if memory.share >= FULL_SHARE:
            used_mb, max_mb = memory.used_bytes >> 20, memory.max_bytes >> 20
            message = f"{used_mb} of {max_mb} MB are used: nothing is received until there is room"
            raise RedisFullError(message)
        self.look_at_s = self.clock() + _LOOK_SECONDS
