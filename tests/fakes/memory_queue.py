"""An SQS queue in memory: the fake that passes the contract tests of `ingest.queue.Queue`.

As strict as SQS where the stand-in over HTTP is not: an old receipt is refused, and the 12 hours
are counted from the receiving.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ingest.queue import BATCH_MAX, Message, Unserved
from ingest.queue_errors import QueueUnavailableError

HOLD_S_MAX = 43_200


@dataclass
class MemoryQueue:
    """Messages and until when each is invisible; time stands still until `pass_time`."""

    visibility_timeout_s: float = 30
    available: bool = True
    is_fifo: bool = False
    receives_max: int = 0  # of the redrive policy; 0: there is none
    now_s: float = 0
    messages: dict[str, Message] = field(default_factory=dict)
    visible_at_s: dict[str, float] = field(default_factory=dict)
    received_at_s: dict[str, float] = field(default_factory=dict)
    extended: list[str] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)  # SQS fails these on its own side
    deduplicated: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, int]] = field(default_factory=list)  # name, batch size
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def send(self, body: str, group: str | None = None, deduplication: str | None = None) -> str:
        """Put a message in; returns its id. A known deduplication id puts nothing in."""
        with self._lock:
            if deduplication is not None and deduplication in self.deduplicated:
                return self.deduplicated[deduplication]
            message_id = f"message-{len(self.visible_at_s) + 1}"
            sent_at_ms = int(self.now_s * 1000)
            self.messages[message_id] = Message(message_id, "", body, sent_at_ms, 0, group)
            self.visible_at_s[message_id] = self.now_s
            if deduplication is not None:
                self.deduplicated[deduplication] = message_id
            return message_id

    def pass_time(self, seconds: float) -> None:
        """Let leases grow old."""
        self.now_s += seconds

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """See `Queue.receive`; never waits."""
        with self._lock:
            self._check()
            assert wait_s >= 0
            taken: list[Message] = []
            busy = {one.group for one in self.messages.values() if self._is_in_flight(one)}
            for message in list(self.messages.values()):
                if len(taken) == min(count_max, BATCH_MAX):
                    break
                if self._is_in_flight(message) or (self.is_fifo and message.group in busy):
                    continue
                if self.receives_max and message.receive_count >= self.receives_max:
                    self.dead.append(self.messages.pop(message.message_id))
                    continue
                taken.append(self._hand_out(message))
            return taken

    def delete(self, receipts: Mapping[str, str]) -> Unserved:
        """See `Queue.delete`."""
        with self._lock:
            unserved = self._unserved("delete", receipts)
            for message_id in receipts:
                if message_id not in (*unserved.refused, *unserved.failed):
                    del self.messages[message_id]
            return unserved

    def extend(self, receipts: Mapping[str, str], timeout_s: int) -> Unserved:
        """See `Queue.extend`."""
        with self._lock:
            unserved = self._unserved("extend", receipts)
            beyond = tuple(
                one
                for one in receipts
                if one not in unserved.refused
                and self.now_s + timeout_s > self.received_at_s[one] + HOLD_S_MAX
            )
            unserved = Unserved(unserved.refused + beyond, unserved.failed)
            for message_id in receipts:
                if message_id not in (*unserved.refused, *unserved.failed):
                    self.visible_at_s[message_id] = self.now_s + timeout_s
                    self.extended.append(message_id)
            return unserved

    def _is_in_flight(self, message: Message) -> bool:
        return self.visible_at_s[message.message_id] > self.now_s

    def _hand_out(self, message: Message) -> Message:
        message_id, count = message.message_id, message.receive_count + 1
        taken = replace(message, receipt=f"{message_id}/{count}", receive_count=count)
        self.messages[message_id] = taken
        self.visible_at_s[message_id] = self.now_s + self.visibility_timeout_s
        self.received_at_s[message_id] = self.now_s
        return taken

    def _unserved(self, call: str, receipts: Mapping[str, str]) -> Unserved:
        self._check()
        self.calls.append((call, len(receipts)))
        refused = tuple(
            message_id
            for message_id, receipt in receipts.items()
            if message_id not in self.messages or self.messages[message_id].receipt != receipt
        )
        return Unserved(refused, tuple(one for one in receipts if one in self.failing))

    def _check(self) -> None:
        if not self.available:
            raise QueueUnavailableError("the test took the queue away")
