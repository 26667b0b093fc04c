"""The taker: messages in hand become entries of the log, one after the other.

Not here: where messages come from (`receive`, `usher`) and when their work is done (`settle`).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from ingest.leases import Leases
from ingest.message import Unusable, parse_message
from ingest.ports import MessageQueue, RequestLog
from ingest.queue import Message
from ingest.queue_errors import QueueUnavailableError
from ingest.room import Room
from ingest.turns import Turns
from shared import metrics
from shared.events import InvocationRejected, InvocationRequested
from shared.log import Accepted
from shared.logging import log_event
from shared.settings import Settings

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What all takers of one process share."""

    queue: MessageQueue
    log: RequestLog
    leases: Leases
    settings: Settings
    room: Room
    turns: Turns
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000


def make_desk(queue: MessageQueue, log: RequestLog, leases: Leases, settings: Settings) -> Desk:
    """A desk with nothing on it."""
    return Desk(queue, log, leases, settings, Room(settings.backlog_max), Turns())


@dataclass(slots=True)
class Taker:
    """One thread owns it.

    A message stays in its hand, with its lease extended, until the log took it: an absent log costs
    no receive count.
    """

    desk: Desk
    in_hand: deque[Message] = field(default_factory=deque)
    to_delete: dict[str, Message] = field(default_factory=dict)

    def put(self, messages: Iterable[Message]) -> None:
        """Messages that were received and are next in their group."""
        self.in_hand.extend(messages)

    def run_once(self) -> int:
        """Have the log take what is in hand, and delete what needs no run; returns how many.

        Raises LogUnavailableError and QueueUnavailableError; call it again and it goes on.
        """
        count = 0
        while self.in_hand:
            self._take(self.in_hand[0])
            self.in_hand.popleft()
            self.desk.room.leave(1)
            count += 1
        self._delete()
        return count

    def hand_back(self) -> None:
        """Make what the log did not take visible to others at once."""
        receipts = {message.message_id: message.receipt for message in self.in_hand}
        self.desk.room.leave(len(self.in_hand))
        self.in_hand.clear()
        self.desk.leases.drop(receipts)
        self.desk.queue.extend(receipts, 0)

    def _take(self, message: Message) -> None:
        event = parse_message(
            message.body,
            message_id=message.message_id,
            now_ms=self.desk.now_ms(),
            settings=self.desk.settings,
        )
        if isinstance(event, Unusable):
            self._bury(message, event.reason)
        else:
            self._accept(message, event)

    def _bury(self, message: Message, reason: str) -> None:
        payload = message.body.encode(errors="surrogatepass")
        self.desk.log.bury_message("ingest", payload, reason, message.message_id)
        self.to_delete[message.message_id] = message
        metrics.MESSAGES.labels("dead").inc()
        metrics.DEAD_LETTERED.labels("ingest").inc()
        fields = {"message_id": message.message_id, "reason": reason}
        log_event(LOG, "message.buried", level=logging.ERROR, **fields)

    def _accept(self, message: Message, event: InvocationRequested | InvocationRejected) -> None:
        if isinstance(event, InvocationRequested) and event.memory_auto:
            granted_mb = self.desk.log.granted_mb(event.function_id)
            event = replace(event, memory_mb=granted_mb or event.memory_mb)
        message_id, receipt = message.message_id, message.receipt
        request = (event.invocation_id, event.function_id)
        match self.desk.log.accept(event, message_id=message_id, receipt=receipt):
            case Accepted.NEW:
                rejected = isinstance(event, InvocationRejected)
                metrics.MESSAGES.labels("rejected" if rejected else "accepted").inc()
                self._begun(message, request)
            case Accepted.IN_FLIGHT:
                metrics.MESSAGES.labels("duplicate").inc()
                self._begun(message, request)
            case Accepted.SETTLED:
                metrics.MESSAGES.labels("duplicate").inc()
                self.to_delete[message_id] = message

    def _begun(self, message: Message, request: tuple[str, str]) -> None:
        self.desk.leases.accepted(message.message_id, request)
        if message.group is not None:
            self.desk.turns.begin(message.group, message.message_id, request)

    def _delete(self) -> None:
        """A refused receipt is an old one: the message comes again and is deleted then.

        What SQS fails to delete keeps its lease and is tried again; it holds up nothing but the
        rest of its group.
        """
        if not self.to_delete:
            return
        receipts = {name: message.receipt for name, message in self.to_delete.items()}
        failed = self.desk.queue.delete(receipts).failed
        done = [one for name, one in self.to_delete.items() if name not in failed]
        self.desk.leases.drop([message.message_id for message in done])
        for message in done:
            del self.to_delete[message.message_id]
            if message.group is not None:
                following = self.desk.turns.end(message.group, message.message_id)
                self.put([] if following is None else [following])
        if failed:
            raise QueueUnavailableError(f"SQS could not delete {len(failed)} messages of a batch")
