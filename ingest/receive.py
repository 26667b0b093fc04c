"""A receiver: SQS messages in, requests appended to the log.

Not here: extending leases (`keep`) and deleting what has its result (`settle`).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from ingest.leases import Leases
from ingest.message import Unusable, parse_message
from ingest.ports import MessageQueue, RequestLog
from ingest.queue import BATCH_MAX, Message
from shared import metrics
from shared.events import InvocationRejected, InvocationRequested
from shared.log import Accepted
from shared.logging import log_event
from shared.settings import Settings
from shared.topology import REQUESTS

LOG = logging.getLogger(__name__)

# A stop waits for the long poll to end, and process managers give it about 5 seconds.
LONG_POLL_S = 3
FULL_WAIT_S = 0.02


@dataclass(slots=True)
class Receiver:
    """One receiver; one thread owns it.

    What it received stays in its hand, with its lease extended, until the log took it: an absent
    log costs no receive count.
    """

    queue: MessageQueue
    log: RequestLog
    leases: Leases
    settings: Settings
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    in_hand: deque[Message] = field(default_factory=deque)
    to_delete: dict[str, str] = field(default_factory=dict)

    def run_once(self, stop: threading.Event) -> int:
        """Receive one batch and have the log take it; returns how many messages it took.

        Raises LogUnavailableError and QueueUnavailableError; call it again and it goes on.
        """
        if not self.in_hand and not self.to_delete:
            self._receive(stop)
        count = 0
        while self.in_hand:
            self._take(self.in_hand[0])
            self.in_hand.popleft()
            count += 1
        self._delete()
        return count

    def hand_back(self) -> None:
        """Make what the log did not take visible to others at once."""
        receipts = {message.message_id: message.receipt for message in self.in_hand}
        self.in_hand.clear()
        self.leases.drop(receipts)
        self.queue.extend(receipts, 0)

    def _receive(self, stop: threading.Event) -> None:
        # What the executors cannot take soon stays in SQS, so that the receive count means
        # attempts and a redrive policy never hits a message that was only waiting.
        room = self.settings.backlog_max - self.log.backlog(REQUESTS)
        if room <= 0:
            metrics.RECEIVES_HELD_BACK.inc()
            stop.wait(FULL_WAIT_S)
            return
        asked_at_s = time.monotonic()
        for message in self.queue.receive(min(room, BATCH_MAX), LONG_POLL_S):
            self.leases.add(message.message_id, message.receipt, asked_at_s)
            self.in_hand.append(message)

    def _take(self, message: Message) -> None:
        event = parse_message(
            message.body,
            message_id=message.message_id,
            now_ms=self.now_ms(),
            settings=self.settings,
        )
        if isinstance(event, Unusable):
            self._bury(message, event.reason)
        else:
            self._accept(message, event)

    def _bury(self, message: Message, reason: str) -> None:
        payload = message.body.encode(errors="surrogatepass")
        self.log.bury_message("ingest", payload, reason, message.message_id)
        self.to_delete[message.message_id] = message.receipt
        metrics.MESSAGES.labels("dead").inc()
        metrics.DEAD_LETTERED.labels("ingest").inc()
        fields = {"message_id": message.message_id, "reason": reason}
        log_event(LOG, "message.buried", level=logging.ERROR, **fields)

    def _accept(self, message: Message, event: InvocationRequested | InvocationRejected) -> None:
        if isinstance(event, InvocationRequested) and event.memory_auto:
            granted_mb = self.log.granted_mb(event.function_id)
            event = replace(event, memory_mb=granted_mb or event.memory_mb)
        message_id, receipt = message.message_id, message.receipt
        match self.log.accept(event, message_id=message_id, receipt=receipt):
            case Accepted.NEW:
                rejected = isinstance(event, InvocationRejected)
                metrics.MESSAGES.labels("rejected" if rejected else "accepted").inc()
                self.leases.accepted(message_id, (event.invocation_id, event.function_id))
            case Accepted.IN_FLIGHT:
                metrics.MESSAGES.labels("duplicate").inc()
                self.leases.accepted(message_id, (event.invocation_id, event.function_id))
            case Accepted.SETTLED:
                metrics.MESSAGES.labels("duplicate").inc()
                self.to_delete[message_id] = receipt

    def _delete(self) -> None:
        if not self.to_delete:
            return
        self.queue.delete(self.to_delete)
        self.leases.drop(self.to_delete)
        self.to_delete.clear()
