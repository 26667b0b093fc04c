"""What ingest asks of the log and of SQS: the contracts that its parts are written against.

Not here: `shared.log.Log` and `ingest.queue.Queue`, which keep them, as do the fakes of the tests.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ingest.queue import Message
from shared.events import InvocationRejected, InvocationRequested
from shared.log import Accepted
from shared.topology import Stream


class RequestLog(Protocol):
    """The log, as ingest sees it. Every call raises LogUnavailableError."""

    def accept(
        self, event: InvocationRequested | InvocationRejected, *, message_id: str, receipt: str
    ) -> Accepted:
        """Append the request unless its id is known; remember the message unless it is settled."""
        ...

    def granted_mb(self, function_id: str) -> int | None:
        """The limit that the tuner has set for a function; None before the first change."""
        ...

    def messages_of(self, requests: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
        """Message id -> newest receipt, for (request id, function id) pairs."""
        ...

    def settle(self, requests: Sequence[tuple[str, str]], ttl_s: int) -> None:
        """Forget the messages; keep for `ttl_s` seconds that the request has its result."""
        ...

    def backlog(self, stream: Stream) -> int:
        """Entries that the stream's group has not acknowledged."""
        ...

    def bury_message(self, stage: str, payload: bytes, reason: str, invocation_id: str) -> None:
        """Keep a message that never became an entry, with the reason."""
        ...


class MessageQueue(Protocol):
    """The SQS queue. Every call raises QueueUnavailableError."""

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """Up to `count_max` messages, invisible to others from now."""
        ...

    def delete(self, receipts: Mapping[str, str]) -> list[str]:
        """Delete by message id -> receipt; returns the ids that were refused."""
        ...

    def extend(self, receipts: Mapping[str, str], timeout_s: int) -> list[str]:
        """Invisible for `timeout_s` from now; returns the ids that were refused."""
        ...
