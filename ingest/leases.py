"""The SQS messages in hand and until when they are ours. Pure: the caller has the time.

Not here: extending a lease (`keep`), and who settles (`settle`). Safe for several threads: the
receivers add, the keeper renews, the settler drops.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

Request = tuple[str, str]  # request id, function id


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to one message until `deadline_s`, on the clock of the caller."""

    message_id: str
    receipt: str
    deadline_s: float
    request: Request | None = None  # None: not accepted by the log yet


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
        lease = Lease(message_id, receipt, now_s + self._visibility_timeout_s)
        with self._lock:
            self._leases[message_id] = lease

    def accepted(self, message_id: str, request: Request) -> None:
        """The log remembers the message as one of `request`."""
        with self._lock:
            if message_id in self._leases:
                self._leases[message_id] = replace(self._leases[message_id], request=request)

    def due(self, now_s: float) -> list[Lease]:
        """Leases of which half is over: to be extended now.

        Half leaves the other half for tries while SQS does not answer.
        """
        latest = now_s + self._visibility_timeout_s / 2
        with self._lock:
            return [lease for lease in self._leases.values() if lease.deadline_s <= latest]

    def renew(self, leases: Iterable[Lease], now_s: float) -> None:
        """These were extended at `now_s`. One that was replaced or dropped meanwhile stays so."""
        with self._lock:
            for lease in leases:
                held = self._leases.get(lease.message_id)
                if held is not None and held.receipt == lease.receipt:
                    deadline_s = now_s + self._visibility_timeout_s
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
