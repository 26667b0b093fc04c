"""A receiver: messages out of SQS, as many as the log has room for.

Not here: what becomes of them (`take`), extending leases (`keep`) and deleting what has its result
(`settle`).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from ingest.memory_room import MemoryRoom
from ingest.queue import BATCH_MAX, Message
from ingest.take import Taker
from ingest.turns import Place
from shared import metrics
from shared.topology import REQUESTS

# A stop waits for the long poll to end, and process managers give it about 5 seconds.
LONG_POLL_S = 3
# Nobody promises that a poll that waits already notices a message group that becomes free.
LONG_POLL_FIFO_S = 1
FULL_WAIT_S = 0.02


@dataclass(slots=True)
class Receiver:
    """One receiver; one thread owns it."""

    taker: Taker
    memory: MemoryRoom | None = None
    now_s: Callable[[], float] = time.monotonic

    def run_once(self, stop: threading.Event) -> int:
        """Receive one batch and have the log take it; returns how many messages it took.

        Raises LogUnavailableError, QueueUnavailableError and RedisFullError; call it again and it
        goes on.
        """
        if not self.taker.in_hand and len(self.taker.to_delete) < BATCH_MAX:
            self._receive(stop)
        return self.taker.run_once()

    def hand_back(self) -> None:
        """Make what the log did not take visible to others at once."""
        self.taker.hand_back()

    def _receive(self, stop: threading.Event) -> None:
        if self.memory is not None:
            self.memory.check()
        desk = self.taker.desk
        # A lease that ran out means that SQS takes no extensions, or not in time: whatever is
        # received now would be delivered again too, and use up its receive count.
        late = desk.leases.is_late(self.now_s())
        places = 0 if late else desk.room.take(self._count_max(), self._backlog)
        if places == 0:
            metrics.RECEIVES_HELD_BACK.inc()
            stop.wait(FULL_WAIT_S)
            return
        received = 0
        asked_at_s = self.now_s()
        try:
            poll_s = LONG_POLL_FIFO_S if desk.queue.is_fifo else LONG_POLL_S
            for message in desk.queue.receive(places, poll_s):
                desk.leases.add(message.message_id, message.receipt, asked_at_s)
                received += self._place(message)
        finally:
            desk.room.leave(places - received)

    def _place(self, message: Message) -> bool:
        """To be taken now, or when its group's turn comes; False: it had its place already."""
        match self.taker.desk.turns.place(message):
            case Place.NEXT:
                self.taker.put([message])
                return True
            case Place.WAITS:
                return True
            case Place.KNOWN:
                return False
            case other:
                assert_never(other)

    def _count_max(self) -> int:
        desk = self.taker.desk
        return desk.settings.fifo_batch if desk.queue.is_fifo else BATCH_MAX

    def _backlog(self) -> int:
        return self.taker.desk.log.backlog(REQUESTS)
