"""How many messages may be received: one bound for all receivers of a process together.

What the executors cannot take soon stays in SQS, so that the receive count means attempts and a
redrive policy never hits a message that was only waiting. Not here: the bound of other processes;
several can exceed it together by one batch for each of their receivers.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Room:
    """Places between SQS and the log: asked for, in hand, or waiting for their turn."""

    backlog_max: int
    _taken: int = 0
    _taking: threading.Lock = field(default_factory=threading.Lock)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count_max: int, count_backlog: Callable[[], int]) -> int:
        """Take up to `count_max` places of those that are free.

        One at a time, and `taken` is read before the backlog: a message that goes into the log
        between the two is counted twice, never not at all.
        """
        with self._taking:
            taken = self._taken
            free = self.backlog_max - taken - count_backlog()
            count = max(min(free, count_max), 0)
            with self._counting:
                self._taken += count
        return count

    def leave(self, count: int) -> None:
        """These places are not used any more: nothing was received, or the log counts it now."""
        with self._counting:
            self._taken -= count
        assert self._taken >= 0, "more places left than taken"
