"""When a stage should let entries gather: a pure rule over what arrived in the last milliseconds.

Each batch costs a wake-up, two system calls and a round trip, whatever its size. While entries
keep coming, a short pause makes batches of them; when they come one at a time, any pause would
only add to their latency. Figures: `docs/design.md`.
"""

from collections import deque

_WINDOW_S = 0.006
_BUSY_COUNT = 8  # in the window: more than one at a time can bring, at 1.3 ms an invocation
_PAUSE_S = 0.003


class Pace:
    """Watches the batches of one stage."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._count = 0

    def decide_pause(self, count: int, now_s: float) -> float:
        """Seconds to wait after a batch of `count` entries; 0 unless they keep coming."""
        self._recent.append((now_s, count))
        self._count += count
        while now_s - self._recent[0][0] > _WINDOW_S:
            self._count -= self._recent.popleft()[1]
        return _PAUSE_S if self._count >= _BUSY_COUNT else 0.0
