"""Sends messages through SQS and waits for their results, as any sender would.

Not here: what is in a message (`deployed`), how a result is shown (`document_text`).

A result is heard on its channel. An announcement can be missed (a connection that broke, a Redis
that was started anew), so the key that keeps the document is looked at once a second, too.
"""

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from cli.failure import NoAnswer
from shared.inbox import LogUnavailableError
from shared.results import Results

MESSAGE_BYTES_MAX = 256 << 10
_BATCH_MAX = 10  # of SQS
_HEAR_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_ACCEPT_SECONDS = 20.0  # a living ingest takes a message within its long poll of three

Message = dict[str, Any]
Document = dict[str, Any]


def count_in_batch(messages: Sequence[Message]) -> int:
    """How many of them SQS takes at a time: ten, and no more bytes than one message may have."""
    longest = max(len(json.dumps(message).encode()) for message in messages)
    return max(min(MESSAGE_BYTES_MAX // longest, _BATCH_MAX), 1)


class Sender:
    """Sends and waits; knows at any moment whose result is missing."""

    def __init__(self, sqs: Any, queue_url: str, results: Results) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._results = results
        self._looked_at = 0.0
        self.waited_for: dict[str, float] = {}  # request id -> when its message was sent
        self._functions: dict[str, str] = {}

    def call(
        self, messages: Sequence[Message], prefix: str, *, parallel: int = 1, wait_s: float = 60
    ) -> Iterator[Document]:
        """The result of each message, as they come; at most `parallel` are under way at a time.

        All request ids begin with `prefix`. Raises NoAnswer where results do not come within
        `wait_s` of their message, or nobody takes the first one.
        """
        self._results.listen(prefix)
        unsent = deque(messages)
        batch_max = count_in_batch(messages)
        heard = False
        while unsent or self.waited_for:
            room = min(parallel - len(self.waited_for), batch_max)
            if unsent and room > 0:
                self._send([unsent.popleft() for _ in range(min(room, len(unsent)))])
            for document in self._receive():
                heard = True
                yield document
            self._give_up_in_time(wait_s, heard=heard)

    def wait(self, request_id: str, wait_s: float) -> Document:
        """The result of a request that was sent before. Raises NoAnswer."""
        self._results.listen(request_id)
        self.waited_for = {request_id: time.monotonic()}
        while True:
            for document in self._receive():
                return document
            self._give_up_in_time(wait_s, heard=True)

    def _send(self, messages: Sequence[Message]) -> None:
        entries = [
            {"Id": str(number), "MessageBody": json.dumps(message)}
            for number, message in enumerate(messages)
        ]
        for message in messages:  # before: a result can be faster than the queue's answer
            self.waited_for[message["requestId"]] = time.monotonic()
            self._functions[message["requestId"]] = message["functionId"]
        answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        if failed := answer.get("Failed"):
            words = f"{failed[0].get('Code', '')}: {failed[0].get('Message', '')}"
            raise NoAnswer(f"SQS did not take {len(failed)} messages: {words}. Try again.")

    def _receive(self) -> list[Document]:
        """What was announced, and now and then what is kept; each result once."""
        found = []
        try:
            announced = self._results.hear(_HEAR_SECONDS)
            if announced is not None:
                found.append(announced)
            elif time.monotonic() - self._looked_at > _LOOK_SECONDS:
                self._looked_at = time.monotonic()
                found += self._results.look_up(list(self.waited_for))
        except LogUnavailableError:
            time.sleep(_HEAR_SECONDS)  # it may come back: the document is kept
        documents = [json.loads(document) for document in found]
        return [one for one in documents if self.waited_for.pop(one["requestId"], None)]

    def _give_up_in_time(self, wait_s: float, *, heard: bool) -> None:
        if not self.waited_for:
            return
        request_id, sent_at = next(iter(self.waited_for.items()))
        waited_s = time.monotonic() - sent_at
        if waited_s > wait_s:
            raise NoAnswer(
                f"No result of {request_id} within {wait_s:g} s. It may still come: "
                f"`hearth result {request_id}`. `hearth doctor` looks at every part."
            )
        if not heard and waited_s > _ACCEPT_SECONDS and not self._is_accepted(request_id):
            raise NoAnswer(
                f"Nobody took {request_id} from the queue in {_ACCEPT_SECONDS:g} s. Is ingest "
                "running (`honcho start`)? The message stays in the queue; `hearth doctor` looks "
                f"at every part, `hearth result {request_id}` shows the result once it is there."
            )

    def _is_accepted(self, request_id: str) -> bool:
        try:
            accepted: bool = self._results.is_accepted(request_id, self._functions[request_id])
        except LogUnavailableError:
            return False
        return accepted
