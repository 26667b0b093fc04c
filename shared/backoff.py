"""Waiting for something that does not answer: exponential, with jitter, and said aloud.

Not here: what is tried again; the caller loops. Several threads of a stage may wait for the same
dependency: metrics and log lines tell of the stage, once per change, not of each thread.
"""

import logging
import random
import threading
from collections import Counter
from typing import Protocol

from shared import metrics
from shared.logging import log_event

LOG = logging.getLogger(__name__)

FIRST_S = 0.05
LONGEST_S = 5.0

_lock = threading.Lock()
_waiters: Counter[tuple[str, str]] = Counter()


class Waiter(Protocol):
    """Passes the time: an Event that ends the wait early, or a loop with other work."""

    def wait(self, timeout: float) -> object:
        """Wait for up to `timeout` seconds."""
        ...


class Backoff:
    """The waits of one thread of a stage for one dependency."""

    def __init__(self, stage: str, dependency: str) -> None:
        self._stage = stage
        self._dependency = dependency
        self._tries = 0

    def wait(self, stop: Waiter, error: object = "") -> None:
        """Wait before the next try, or until `stop`."""
        metrics.RETRIES.labels(self._stage, self._dependency).inc()
        if self._tries == 0:
            _begin(self._stage, self._dependency, error)
        stop.wait(decide_delay(self._tries, random.random()))  # noqa: S311 - spreads load only
        self._tries += 1

    def reset(self) -> None:
        """The dependency answered; cheap where nothing was waited for."""
        if self._tries:
            self._tries = 0
            _end(self._stage, self._dependency)


def decide_delay(tries: int, share: float) -> float:
    """Seconds to wait after `tries` earlier waits; `share` in [0, 1) places it in the window.

    Full jitter over a window that doubles up to LONGEST_S (AWS Architecture Blog, "Exponential
    Backoff And Jitter"), but never under FIRST_S: no stage spins.
    """
    window = min(LONGEST_S, FIRST_S * 2.0 ** min(tries + 1, 16))
    return FIRST_S + share * (window - FIRST_S)


def _begin(stage: str, dependency: str, error: object) -> None:
    with _lock:
        _waiters[stage, dependency] += 1
        if _waiters[stage, dependency] > 1:
            return
        metrics.WAITING.labels(stage, dependency).set(1)
    fields = {"stage": stage, "dependency": dependency, "error": error}
    log_event(LOG, "dependency.absent", level=logging.WARNING, **fields)


def _end(stage: str, dependency: str) -> None:
    with _lock:
        _waiters[stage, dependency] -= 1
        if _waiters[stage, dependency] > 0:
            return
        metrics.WAITING.labels(stage, dependency).set(0)
    log_event(LOG, "dependency.back", stage=stage, dependency=dependency)
