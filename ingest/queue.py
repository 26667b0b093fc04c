"""The SQS queue that messages arrive on: receive, delete, extend.

Not here: what a message means (`message`), and which to delete or extend (`settle`, `leases`).
Safe to call from several threads, as the boto3 client is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

BATCH_MAX = 10  # of SQS: for receiving, deleting and extending
_TRIES_MAX = 3  # for the part of a batch that SQS failed on its own side


class QueueUnavailableError(Exception):
    """SQS does not answer, or not with what was asked for. Nothing is lost: try again later."""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of an SQS message. A receipt is good for this delivery only."""

    message_id: str
    receipt: str
    body: str
    sent_at_ms: int  # Unix time
    receive_count: int  # 1: nobody had it before


class Queue:
    """One SQS queue. Every call raises QueueUnavailableError when SQS does not do its part."""

    def __init__(self, client: Any, url: str, visibility_timeout_s: int) -> None:  # noqa: ANN401
        self._client = client
        self._url = url
        self._visibility_timeout_s = visibility_timeout_s

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """Up to `count_max` messages (10 at most); waits up to `wait_s` for the first (20 at most).

        What is received stays invisible to others for the visibility timeout, counted from now.
        """
        answer = self._call(
            self._client.receive_message,
            MaxNumberOfMessages=min(count_max, BATCH_MAX),
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=self._visibility_timeout_s,
            AttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        return [_read_message(one) for one in answer.get("Messages", ())]

    def delete(self, receipts: Mapping[str, str]) -> list[str]:
        """Delete messages, given as message id -> receipt; returns the ids that SQS refused.

        A refused receipt is an old one: the message is gone or was delivered again.
        """
        return self._in_batches(receipts, self._client.delete_message_batch)

    def extend(self, receipts: Mapping[str, str], timeout_s: int) -> list[str]:
        """Keep messages invisible for `timeout_s` from now; 0 hands them back at once.

        Returns the ids that SQS refused: deleted, delivered again, or past SQS's 12 hours.
        """
        call = self._client.change_message_visibility_batch
        return self._in_batches(receipts, call, VisibilityTimeout=timeout_s)

    def _in_batches(
        self, receipts: Mapping[str, str], call: Callable[..., Any], **fields: object
    ) -> list[str]:
        refused: list[str] = []
        for batch in _batches(list(receipts)):
            refused += self._batch({one: receipts[one] for one in batch}, call, fields)
        return refused

    def _batch(
        self, receipts: Mapping[str, str], call: Callable[..., Any], fields: Mapping[str, object]
    ) -> list[str]:
        """One batch, tried again for the messages that SQS failed on its own side."""
        refused: list[str] = []
        waiting = dict(receipts)
        for _ in range(_TRIES_MAX):
            ids = list(waiting)
            entries = [
                {"Id": str(place), "ReceiptHandle": waiting[one], **fields}
                for place, one in enumerate(ids)
            ]
            failed = self._call(call, Entries=entries).get("Failed", ())
            refused += [ids[int(one["Id"])] for one in failed if one["SenderFault"]]
            waiting = {
                ids[int(one["Id"])]: waiting[ids[int(one["Id"])]]
                for one in failed
                if not one["SenderFault"]
            }
            if not waiting:
                return refused
        raise QueueUnavailableError(f"SQS failed {len(waiting)} messages of a batch")

    def _call(self, call: Callable[..., Any], **fields: object) -> Any:  # noqa: ANN401
        try:
            return call(QueueUrl=self._url, **fields)
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailableError(f"SQS: {error}") from error


def _read_message(answer: Mapping[str, Any]) -> Message:
    attributes = answer.get("Attributes", {})
    return Message(
        message_id=answer["MessageId"],
        receipt=answer["ReceiptHandle"],
        body=answer["Body"],
        sent_at_ms=int(attributes.get("SentTimestamp", 0)),
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
    )


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), BATCH_MAX):
        yield ids[start : start + BATCH_MAX]
