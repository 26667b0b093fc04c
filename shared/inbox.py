"""Where a stage receives deliveries and commits what it made of them: the contract.

Not here: Redis (`redis_inbox`), and the fake of the tests, which passes the same contract tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.events import Event
from shared.topology import Stream


class LogUnavailableError(Exception):
    """The log does not answer. What was received stays pending and comes again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry that this consumer owns until it commits, buries or loses it."""

    stream: Stream
    partition: int
    entry_id: str
    attempt: int  # 1: no other consumer had it before
    payload: bytes


class Inbox(Protocol):
    """A consumer of one stage. Not thread-safe: one thread owns it."""

    consumer: str

    def receive(self, count_max: int, block_ms: int, wake: int | None = None) -> list[Delivery]:
        """Up to `count_max` deliveries: own pending ones first (after a connection was lost), then
        those of dead consumers, then new ones.

        Sends what `commit` and `bury` queued, first. Waits up to `block_ms` for the first delivery;
        returns early and empty when the file descriptor `wake` becomes readable. An entry in hand
        is not delivered again. Raises LogUnavailableError.
        """
        ...

    def commit(self, delivery: Delivery, outputs: Sequence[Event]) -> None:
        """Queue: append `outputs` and acknowledge, in one step, if this consumer still owns it.

        Each output goes to the stream of its type, in the delivery's partition. The delivery
        leaves the hand.
        """
        ...

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Queue: move the delivery to the dead stream, bytes and all."""
        ...

    def flush(self) -> int:
        """Send what is queued and wait for the answers; returns how many commits were fenced off,
        since the last flush. Raises LogUnavailableError.
        """
        ...

    def hold(self) -> None:
        """Refresh the ownership of everything in hand, if it is time to; cheap to call often."""
        ...

    def adopt(self, delivery: Delivery) -> None:
        """A delivery that was taken over outside of `receive` is in this hand now."""
        ...

    def forget(self, delivery: Delivery) -> None:
        """A delivery in hand has another owner now."""
        ...

    def close(self) -> None:
        """Hand back: leave the group if nothing is pending. Never raises for an absent log."""
        ...
