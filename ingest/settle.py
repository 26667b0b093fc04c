"""The settler: deletes the SQS messages of requests whose result is published, or which are dead.

Not here: receiving. Only this file and the receiver (for what needs no run) delete messages.
"""

import logging
import re
from dataclasses import dataclass, field

from ingest.leases import Leases, Request
from ingest.ports import MessageQueue, RequestLog
from shared import metrics
from shared.codec import UndecodableError, decode
from shared.events import DeadLettered, ResultPublished
from shared.inbox import Delivery, Inbox
from shared.logging import log_event
from shared.settings import Settings
from shared.topology import DEAD

LOG = logging.getLogger(__name__)

# The first one in any event of the log is that of the event itself, before anything a sender wrote.
_FUNCTION_ID = re.compile(rb'"function_id":"([^"\\]{0,128})"')


@dataclass(slots=True)
class Settler:
    """Settles one batch after the other; one thread owns it.

    Deliveries stay in its hand until their messages are deleted, so an absent SQS loses nothing.
    """

    inbox: Inbox
    queue: MessageQueue
    log: RequestLog
    leases: Leases
    settings: Settings
    in_hand: list[tuple[Delivery, Request]] = field(default_factory=list)

    def run_once(self, block_ms: int) -> int:
        """Settle one batch; returns how many requests it held.

        Raises LogUnavailableError and QueueUnavailableError; call it again and it goes on.
        Deleting comes before the mark "settled" and the mark before the acknowledgement: whatever
        dies in between is done again, and doing it again changes nothing.
        """
        self.inbox.hold()
        if not self.in_hand:
            self._receive(block_ms)
        requests = [request for _, request in self.in_hand]
        if not requests:
            return 0
        receipts = {
            message_id: receipt
            for messages in self.log.messages_of(requests)
            for message_id, receipt in messages.items()
        }
        if receipts:
            self.queue.delete(receipts)
        self.log.settle(requests, self.settings.accepted_ttl_s)
        self.leases.drop(receipts)
        for delivery, _ in self.in_hand:
            self.inbox.commit(delivery, ())
        self.in_hand.clear()
        metrics.MESSAGES.labels("settled").inc(len(receipts))
        metrics.HANDLED.labels("ingest").inc(len(requests))
        return len(requests)

    def _receive(self, block_ms: int) -> None:
        # No limit of attempts: whoever gave up a publication would leave its message to be
        # delivered and extended for ever.
        for delivery in self.inbox.receive(self.settings.batch_max, block_ms):
            request = read_request_of(delivery.payload)
            if request is not None:
                self.in_hand.append((delivery, request))
            elif delivery.stream is DEAD:
                self.inbox.commit(delivery, ())  # it stays where it is, for a person to look at
            else:
                self._bury(delivery)

    def _bury(self, delivery: Delivery) -> None:
        self.inbox.bury(delivery, "no publication")
        fields = {"stage": "ingest", "entry_id": delivery.entry_id}
        log_event(LOG, "entry.buried", level=logging.ERROR, **fields)


def read_request_of(payload: bytes) -> Request | None:
    """The request that an entry ends: its result is published, or a stage buried it. Pure."""
    try:
        event = decode(payload)
    except UndecodableError:
        return None
    match event:
        case ResultPublished():
            return event.invocation_id, event.function_id
        case DeadLettered() if event.invocation_id:
            found = _FUNCTION_ID.search(event.payload)
            return event.invocation_id, found[1].decode(errors="replace") if found else ""
        case _:
            return None
