"""The SQS messages in hand and until when they are ours. Pure: the caller has the time.

Not here: extending a lease (`keep`), and who settles (`settle`). Safe for several threads: the
receivers add, the keeper renews, the settler drops.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

Request = tuple[str, str]  # request id, function id

# SQS lets nobody keep a message longer than 12 hours after receiving it. Five seconds less, because
# our clock started when the message was asked for and SQS's when it was given.
HOLD_S_MAX = 43_200 - 5


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to one message until `deadline_s`, on the clock of the caller."""

    message_id: str
    receipt: str
    deadline_s: float
    ends_s: float  # no extension reaches beyond: the 12 hours
    request: Request | None = None  # None: not accepted by the log yet

    @property
    def is_last(self) -> bool:
        """It reaches to the 12 hours: nothing can be added."""
        return self.deadline_s >= self.ends_s

    def seconds_more(self, now_s: float, timeout_s: int) -> int:
        """What to ask SQS for: the whole timeout, or what the 12 hours leave of it."""
        return max(min(timeout_s, int(self.ends_s - now_s)), 0)


class Leases:
    """All leases of this process, by message id."""

    def __init__(self, visibility_timeout_s: float) -> None:
        self._visibility_timeout_s = visibility_timeout_s
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many messages are in hand."""
        return len(self._leases)

    def add(self, message_id: str, receipt: str, now_s: float) -> None:
        """A message was asked for at `now_s`; a newer receipt replaces the older one."""
        ends_s = now_s + HOLD_S_MAX
        lease = Lease(message_id, receipt, min(now_s + self._visibility_timeout_s, ends_s), ends_s)
        with self._lock:
            self._leases[message_id] = lease

    def adopt(self, message_id: str, receipt: str, request: Request, now_s: float) -> bool:
        """Take over the message of a dead process unless it is in hand; it is due at once.

        When it was received is not known, so SQS will say when its 12 hours are over.
        """
        lease = Lease(message_id, receipt, now_s, now_s + HOLD_S_MAX, request)
        with self._lock:
            return self._leases.setdefault(message_id, lease) is lease

    def accepted(self, message_id: str, request: Request) -> None:
        """The log remembers the message as one of `request`."""
        with self._lock:
            if message_id in self._leases:
                self._leases[message_id] = replace(self._leases[message_id], request=request)

    def receipt_of(self, message_id: str) -> str | None:
        """The newest receipt that this process was given for a message in hand."""
        lease = self._leases.get(message_id)
        return None if lease is None else lease.receipt

    def due(self, now_s: float) -> list[Lease]:
        """Leases to be extended now, the most urgent first: half of them is over.

        Half leaves the other half for tries while SQS does not answer. What cannot be extended any
        more is due when it is over, to be let go.
        """
        half_s = self._visibility_timeout_s / 2
        with self._lock:
            due = [
                lease
                for lease in self._leases.values()
                if lease.deadline_s <= (now_s if lease.is_last else now_s + half_s)
            ]
        return sorted(due, key=lambda lease: lease.deadline_s)

    def is_late(self, now_s: float) -> bool:
        """Whether a lease ran out that should have been extended: the keeper does not keep up."""
        with self._lock:
            return any(
                lease.deadline_s < now_s and not lease.is_last for lease in self._leases.values()
            )

    def renew(self, leases: Iterable[Lease], now_s: float) -> None:
        """These were extended at `now_s`. One that was replaced or dropped meanwhile stays so."""
        with self._lock:
            for lease in leases:
                held = self._leases.get(lease.message_id)
                if held is not None and held.receipt == lease.receipt:
                    deadline_s = min(now_s + self._visibility_timeout_s, held.ends_s)
                    self._leases[lease.message_id] = replace(held, deadline_s=deadline_s)

    def forget(self, leases: Iterable[Lease]) -> None:
        """These are not ours any more. One that was received again meanwhile stays."""
        with self._lock:
            for lease in leases:
                held = self._leases.get(lease.message_id)
                if held is not None and held.receipt == lease.receipt:
                    del self._leases[lease.message_id]

    def drop(self, message_ids: Iterable[str]) -> None:
        """These messages are settled, whatever receipt is held."""
        with self._lock:
            for message_id in message_ids:
                self._leases.pop(message_id, None)
