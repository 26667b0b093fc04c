"""The SQS queue that messages arrive on: receive, delete, extend.

Not here: what a message means (`message`), which to delete or extend (`settle`, `leases`), and
whether the queue's own settings suit (`suitability`). Safe to call from several threads, as the
boto3 client is.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ingest.queue_errors import WrongCallError, name_error

BATCH_MAX = 10  # of SQS: for receiving, deleting and extending
_TRIES_MAX = 3  # for the part of a batch that SQS failed on its own side
_ATTRIBUTES = ["SentTimestamp", "ApproximateReceiveCount", "MessageGroupId"]


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of an SQS message. A receipt is good for this delivery only."""

    message_id: str
    receipt: str
    body: str
    sent_at_ms: int  # Unix time
    receive_count: int  # 1: nobody had it before
    group: str | None = None  # of a FIFO queue: its messages are handled one after the other


@dataclass(frozen=True, slots=True)
class Unserved:
    """The message ids of a batch that SQS did not serve; all others it did."""

    refused: tuple[str, ...] = ()  # our fault: deleted, delivered again, beyond the 12 hours
    failed: tuple[str, ...] = ()  # SQS's fault, several times: to be tried again later

    def __bool__(self) -> bool:
        return bool(self.refused or self.failed)


class Queue:
    """One SQS queue. Every call raises QueueUnavailableError when SQS does not do its part."""

    def __init__(self, client: Any, url: str, visibility_timeout_s: int) -> None:  # noqa: ANN401
        self._client = client
        self._url = url
        self._visibility_timeout_s = visibility_timeout_s
        self.is_fifo = is_fifo(url)

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """Up to `count_max` messages (10 at most); waits up to `wait_s` for the first (20 at most).

        What is received stays invisible to others for the visibility timeout, counted from now.
        """
        # With an id of the call, SQS gives the same messages when an answer was lost on its way.
        attempt = {"ReceiveRequestAttemptId": uuid.uuid4().hex} if self.is_fifo else {}
        answer = self._call(
            self._client.receive_message,
            MaxNumberOfMessages=min(count_max, BATCH_MAX),
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=self._visibility_timeout_s,
            AttributeNames=_ATTRIBUTES,
            **attempt,
        )
        return [self._read(one) for one in answer.get("Messages", ())]

    def delete(self, receipts: Mapping[str, str]) -> Unserved:
        """Delete messages, given as message id -> receipt.

        A refused receipt is an old one: the message is gone or was delivered again.
        """
        return self._in_batches(receipts, self._client.delete_message_batch)

    def extend(self, receipts: Mapping[str, str], timeout_s: int) -> Unserved:
        """Keep messages invisible for `timeout_s` from now; 0 hands them back at once."""
        call = self._client.change_message_visibility_batch
        return self._in_batches(receipts, call, VisibilityTimeout=timeout_s)

    def attributes(self) -> dict[str, str]:
        """The queue's own settings, by SQS's names."""
        answer = self._call(self._client.get_queue_attributes, AttributeNames=["All"])
        return dict(answer.get("Attributes", {}))

    def _in_batches(
        self, receipts: Mapping[str, str], call: Callable[..., Any], **fields: object
    ) -> Unserved:
        refused: tuple[str, ...] = ()
        failed: tuple[str, ...] = ()
        for batch in _batches(list(receipts)):
            one = self._batch({name: receipts[name] for name in batch}, call, fields)
            refused += one.refused
            failed += one.failed
        return Unserved(refused, failed)

    def _batch(
        self, receipts: Mapping[str, str], call: Callable[..., Any], fields: Mapping[str, object]
    ) -> Unserved:
        """One batch, tried again for the messages that SQS failed on its own side."""
        refused: list[str] = []
        waiting = dict(receipts)
        for _ in range(_TRIES_MAX):
            ids = list(waiting)
            entries = [
                {"Id": str(place), "ReceiptHandle": waiting[one], **fields}
                for place, one in enumerate(ids)
            ]
            try:
                failures = self._call(call, Entries=entries).get("Failed", ())
            except WrongCallError:
                if len(ids) == 1:
                    return Unserved((*refused, *ids))
                alone = [self._batch({one: waiting[one]}, call, fields) for one in ids]
                return Unserved(
                    (*refused, *(name for one in alone for name in one.refused)),
                    tuple(name for one in alone for name in one.failed),
                )
            refused += [ids[int(one["Id"])] for one in failures if one["SenderFault"]]
            failed = [ids[int(one["Id"])] for one in failures if not one["SenderFault"]]
            waiting = {one: waiting[one] for one in failed}
            if not waiting:
                break
        return Unserved(tuple(refused), tuple(waiting))

    def _call(self, call: Callable[..., Any], **fields: object) -> Any:  # noqa: ANN401
        try:
            return call(QueueUrl=self._url, **fields)
        except (BotoCoreError, ClientError) as error:
            raise name_error(error, self._url) from error

    def _read(self, answer: Mapping[str, Any]) -> Message:
        attributes = answer.get("Attributes", {})
        return Message(
            message_id=answer["MessageId"],
            receipt=answer["ReceiptHandle"],
            body=answer["Body"],
            sent_at_ms=int(attributes.get("SentTimestamp", 0)),
            receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
            # A standard queue may have groups too, for fairness alone: they order nothing.
            group=attributes.get("MessageGroupId") if self.is_fifo else None,
        )


def is_fifo(url: str) -> bool:
    """Whether the queue keeps an order: SQS demands the ending of all that do, and of no other."""
    return url.endswith(".fifo")


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH_MAX):
        yield ids[start : start + BATCH_MAX]
