"""The lease keeper: extends the visibility of the messages whose work is not done.

Not here: deleting. It never deletes a message; what it lets go comes back from SQS and is then
known to be settled.
"""

from dataclasses import dataclass

from ingest.leases import Lease, Leases
from ingest.ports import MessageQueue, RequestLog
from shared import metrics
from shared.inbox import LogUnavailableError


@dataclass(frozen=True, slots=True)
class Keeper:
    """Extends leases in time."""

    leases: Leases
    queue: MessageQueue
    log: RequestLog
    visibility_timeout_s: int

    def run_once(self, now_s: float) -> int:
        """Extend what is due; returns how many were. Raises QueueUnavailableError.

        1. A message that the log no longer knows was settled, perhaps by another process while
           it was on its way here: it is let go, else it would be extended for ever.
        2. A message that SQS refuses to extend is let go alone.
        3. Without the log's word everything is kept: extending too long only delays.
        """
        due = self.leases.due(now_s)
        if not due:
            return 0
        settled = self._settled(due)
        self.leases.forget(settled)
        kept = [lease for lease in due if lease not in settled]
        receipts = {lease.message_id: lease.receipt for lease in kept}
        refused = set(self.queue.extend(receipts, self.visibility_timeout_s))
        self.leases.forget([lease for lease in kept if lease.message_id in refused])
        self.leases.renew([lease for lease in kept if lease.message_id not in refused], now_s)
        metrics.VISIBILITY_EXTENDED.inc(len(kept) - len(refused))
        return len(kept) - len(refused)

    def _settled(self, due: list[Lease]) -> list[Lease]:
        asked = [lease for lease in due if lease.request is not None]
        try:
            known = self.log.messages_of([lease.request for lease in asked if lease.request])
        except LogUnavailableError:
            return []
        pairs = zip(asked, known, strict=True)
        return [lease for lease, messages in pairs if lease.message_id not in messages]
