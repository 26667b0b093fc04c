"""The settler: deletes the SQS messages of requests whose result is published, or which are dead.

Not here: receiving. Only this file and the taker (for what needs no run) delete messages.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ingest.leases import Leases, Request
from ingest.ports import MessageQueue, RequestLog
from ingest.queue import Unserved
from ingest.queue_errors import QueueUnavailableError
from shared import metrics
from shared.codec import UndecodableError, decode, read_invocation_id
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
        """Settle one batch; returns how many requests were settled.

        Raises LogUnavailableError and QueueUnavailableError; call it again and it goes on.
        Deleting comes before the mark "settled" and the mark before the acknowledgement: whatever
        dies in between is done again, and doing it again changes nothing. A request with a message
        that SQS cannot delete now stays in hand, and the others do not wait for it.
        """
        self.inbox.hold()
        self._receive(0 if self.in_hand else block_ms)
        requests = [request for _, request in self.in_hand]
        if not requests:
            return 0
        messages = self.log.messages_of(requests)
        receipts = {name: receipt for one in messages for name, receipt in one.items()}
        failed = self._delete(receipts, requests)
        stuck = [not failed.isdisjoint(one) for one in messages]
        done = [one for one, is_stuck in zip(self.in_hand, stuck, strict=True) if not is_stuck]
        self.log.settle([request for _, request in done], self.settings.accepted_ttl_s)
        self.leases.drop(name for name in receipts if name not in failed)
        for delivery, _ in done:
            self.inbox.commit(delivery, ())
        self.in_hand = [one for one, is_stuck in zip(self.in_hand, stuck, strict=True) if is_stuck]
        metrics.MESSAGES.labels("settled").inc(len(receipts) - len(failed))
        metrics.HANDLED.labels("ingest").inc(len(done))
        if failed:
            raise QueueUnavailableError(f"SQS could not delete {len(failed)} messages of a batch")
        return len(done)

    def _delete(self, receipts: Mapping[str, str], requests: Sequence[Request]) -> set[str]:
        """Delete messages; returns those that SQS failed to delete on its own side.

        A refused receipt is an old one. Where a newer is known it is tried; else the message is
        delivered again, found to be settled and deleted then.
        """
        if not receipts:
            return set()
        unserved = self.queue.delete(receipts)
        failed = set(unserved.failed)
        if unserved.refused:
            newer = self._find_newer(unserved.refused, receipts, requests)
            again = self.queue.delete(newer) if newer else Unserved()
            failed |= set(again.failed)
            left = (set(unserved.refused) - set(newer)) | set(again.refused)
            for message_id in sorted(left):
                log_event(LOG, "delete.refused", message_id=message_id)
        return failed

    def _find_newer(
        self, refused: Iterable[str], receipts: Mapping[str, str], requests: Sequence[Request]
    ) -> dict[str, str]:
        known = {
            name: receipt
            for messages in self.log.messages_of(requests)
            for name, receipt in messages.items()
        }
        found = {one: self.leases.receipt_of(one) or known.get(one, "") for one in refused}
        return {one: new for one, new in found.items() if new and new != receipts[one]}

    def _receive(self, block_ms: int) -> None:
        # No limit of attempts: whoever gave up a publication would leave its message to be
        # delivered and extended for ever.
        room = self.settings.batch_max - len(self.in_hand)
        for delivery in self.inbox.receive(room, block_ms):
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
            return event.invocation_id, read_function_id(event.payload)
        case _:
            return None


def find_request(payload: bytes) -> Request | None:
    """The request that any event of the log belongs to, if it can be read. Pure."""
    invocation_id = read_invocation_id(payload)
    return (invocation_id, read_function_id(payload)) if invocation_id else None


def read_function_id(payload: bytes) -> str:
    """The function of an event, even of one that is cut off; empty where there is none. Pure."""
    found = _FUNCTION_ID.search(payload)
    return found[1].decode(errors="replace") if found else ""
