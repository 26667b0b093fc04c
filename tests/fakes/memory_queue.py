"""An SQS queue in memory: the fake that passes the contract tests of `ingest.queue.Queue`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ingest.queue import BATCH_MAX, Message, QueueUnavailableError


@dataclass
class MemoryQueue:
    """Messages and until when each is invisible; time stands still until `pass_time`."""

    visibility_timeout_s: float = 30
    available: bool = True
    now_s: float = 0
    messages: dict[str, Message] = field(default_factory=dict)
    visible_at_s: dict[str, float] = field(default_factory=dict)
    extended: list[str] = field(default_factory=list)

    def send(self, body: str) -> str:
        """Put a message in; returns its id."""
        message_id = f"message-{len(self.visible_at_s) + 1}"
        self.messages[message_id] = Message(message_id, "", body, int(self.now_s * 1000), 0)
        self.visible_at_s[message_id] = self.now_s
        return message_id

    def pass_time(self, seconds: float) -> None:
        """Let leases grow old."""
        self.now_s += seconds

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """See `Queue.receive`; never waits."""
        self._check()
        assert wait_s >= 0
        visible = [one for one in self.messages if self.visible_at_s[one] <= self.now_s]
        return [self._hand_out(one) for one in visible[: min(count_max, BATCH_MAX)]]

    def delete(self, receipts: Mapping[str, str]) -> list[str]:
        """See `Queue.delete`."""
        self._check()
        refused = self._refused(receipts)
        for message_id in receipts:
            if message_id not in refused:
                del self.messages[message_id]
        return refused

    def extend(self, receipts: Mapping[str, str], timeout_s: int) -> list[str]:
        """See `Queue.extend`."""
        self._check()
        refused = self._refused(receipts)
        for message_id in receipts:
            if message_id not in refused:
                self.visible_at_s[message_id] = self.now_s + timeout_s
                self.extended.append(message_id)
        return refused

    def _hand_out(self, message_id: str) -> Message:
        message = self.messages[message_id]
        count = message.receive_count + 1
        taken = replace(message, receipt=f"{message_id}/{count}", receive_count=count)
        self.messages[message_id] = taken
        self.visible_at_s[message_id] = self.now_s + self.visibility_timeout_s
        return taken

    def _refused(self, receipts: Mapping[str, str]) -> list[str]:
        return [
            message_id
            for message_id, receipt in receipts.items()
            if message_id not in self.messages or self.messages[message_id].receipt != receipt
        ]

    def _check(self) -> None:
        if not self.available:
            raise QueueUnavailableError("the test took the queue away")
