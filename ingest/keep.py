"""The lease keeper: extends the visibility of the messages whose work is not done.

Not here: deleting. It never deletes a message; what it lets go comes back from SQS, which causes no
second run: the log still knows the request, or knows that it is settled.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ingest.leases import Lease, Leases
from ingest.ports import MessageQueue, RequestLog
from ingest.queue import BATCH_MAX, Unserved
from ingest.queue_errors import QueueUnavailableError
from shared import metrics
from shared.inbox import LogUnavailableError
from shared.logging import log_event

LOG = logging.getLogger(__name__)


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
        2. A message that SQS refuses to extend is let go alone, and so is one whose 12 hours are
           over. It is delivered again and gets a new lease.
        3. Without the log's word everything is kept: extending too long only delays.
        4. Batch by batch, the most urgent first: when SQS stops answering in the middle, what was
           extended is known to be, and the next try begins with the rest.
        """
        due = self.leases.due(now_s)
        if not due:
            return 0
        settled = self._settled(due)
        self.leases.forget(settled)
        kept = [lease for lease in due if lease not in settled]
        over = [lease for lease in kept if lease.is_last and lease.deadline_s <= now_s]
        self._let_go(over, "twelve_hours")
        kept = [lease for lease in kept if lease not in over]
        extended = failed = 0
        for timeout_s, batch in _batches(kept, now_s, self.visibility_timeout_s):
            unserved = self.queue.extend({one.message_id: one.receipt for one in batch}, timeout_s)
            extended += self._note(batch, unserved, now_s)
            failed += len(unserved.failed)
        if failed:
            raise QueueUnavailableError(f"SQS could not extend {failed} messages; they stay due")
        return extended

    def _note(self, batch: Sequence[Lease], unserved: Unserved, now_s: float) -> int:
        self._let_go([one for one in batch if one.message_id in unserved.refused], "refused")
        bad = {*unserved.refused, *unserved.failed}
        good = [one for one in batch if one.message_id not in bad]
        self.leases.renew(good, now_s)
        metrics.VISIBILITY_EXTENDED.inc(len(good))
        return len(good)

    def _let_go(self, leases: Sequence[Lease], reason: str) -> None:
        self.leases.forget(leases)
        for lease in leases:
            metrics.LEASES_LOST.labels(reason).inc()
            request_id = lease.request[0] if lease.request else ""
            fields = {"message_id": lease.message_id, "request_id": request_id, "reason": reason}
            log_event(LOG, "lease.lost", level=logging.WARNING, **fields)

    def _settled(self, due: Sequence[Lease]) -> list[Lease]:
        asked = [lease for lease in due if lease.request is not None]
        try:
            known = self.log.messages_of([lease.request for lease in asked if lease.request])
        except LogUnavailableError:
            return []
        pairs = zip(asked, known, strict=True)
        return [lease for lease, messages in pairs if lease.message_id not in messages]


def _batches(
    leases: Sequence[Lease], now_s: float, timeout_s: int
) -> Iterator[tuple[int, list[Lease]]]:
    """Batches as SQS takes them, with the seconds to ask for: neighbours with the same alone."""
    for seconds, group in groupby(leases, lambda lease: lease.seconds_more(now_s, timeout_s)):
        same = list(group)
        for start in range(0, len(same), BATCH_MAX):
            yield seconds, same[start : start + BATCH_MAX]
