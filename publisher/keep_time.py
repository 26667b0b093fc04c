"""How long a result is kept in Redis: as set, or a minute where Redis gets full. It stays in S3.

Not here: keeping it (`shared.log`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.retention import Memory
from shared.settings import Settings

# As the archiver's: below it there is room, above it everything makes room.
PRESSURE_SHARE = 0.5
_SHORT_S = 60
_LOOK_SECONDS = 1.0


class Full(Protocol):
    """Redis, as seen from here. Raises LogUnavailableError."""

    def read_memory(self) -> Memory:
        """How full it is."""
        ...


@dataclass(slots=True)
class KeepTime:
    """Looks once a second at most."""

    redis: Full
    settings: Settings
    clock: Callable[[], float] = time.monotonic
    ttl_s: int = 0
    look_at_s: float = 0.0

    def decide(self) -> int:
        """Seconds. Raises LogUnavailableError."""
        if self.clock() >= self.look_at_s:
            is_short = self.redis.read_memory().share >= PRESSURE_SHARE
            # A repeat must find the result, else it would be announced again.
            short_s = max(_SHORT_S, 4 * self.settings.claim_idle_ms // 1_000)
            self.ttl_s = self.settings.result_ttl_s
            if is_short:
                self.ttl_s = min(self.ttl_s, short_s)
            self.look_at_s = self.clock() + _LOOK_SECONDS
        return self.ttl_s
