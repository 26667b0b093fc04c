"""The publisher: a result is announced first and written second, many at the same time.

Not here: the document (`document`), the threads that write it (`writers`), clients (`process`).

A crash between the two steps repeats both: the announcement is made once per request id (the log
sees to that), and writing the same bytes to the same key again changes nothing.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from publisher.document import STATUS, build_document, document_key
from publisher.writers import Writers
from shared import metrics
from shared.events import (
    InvocationTuned,
    MemoryLimitChanged,
    ResultPublished,
    S3Object,
    derive_event_id,
)
from shared.inbox import Delivery, Inbox
from shared.log import PublishedResult
from shared.runner import take_event
from shared.settings import Settings
from shared.topology import result_channel

STAGE = "publisher"
IN_FLIGHT_MAX = 256


class ResultLog(Protocol):
    """The log, as the publisher sees it."""

    def grant(self, change: MemoryLimitChanged) -> None:
        """Remember the limit that the tuner has set. Raises LogUnavailableError."""
        ...

    def publish(self, results: Sequence[PublishedResult], ttl_s: int) -> list[bool]:
        """Announce and keep each result unless its request has one. Raises LogUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A result between its delivery and its commit."""

    delivery: Delivery
    event: InvocationTuned
    document: bytes
    key: str


@dataclass(slots=True)
class Publisher:
    """The stage; one thread owns it."""

    inbox: Inbox
    log: ResultLog
    writers: Writers[Work]
    bucket: str
    settings: Settings
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    unannounced: list[Work] = field(default_factory=list)
    ungranted: list[tuple[Delivery, MemoryLimitChanged]] = field(default_factory=list)

    def run_once(self, block_ms: int) -> int:
        """Commit what is written, receive a batch, announce it and begin to write it.

        Returns how many results were announced. Raises LogUnavailableError; call it
        again and it goes on.
        """
        self.inbox.hold()
        self.commit_written()
        if not (self.unannounced or self.ungranted):
            self._receive(block_ms)
        return self._announce()

    def commit_written(self) -> int:
        """Queue the commit of each document that is in S3; returns how many."""
        written = self.writers.take_done()
        for work in written:
            self.inbox.commit(work.delivery, (self._publication(work),))
        if written:
            statuses = Counter(STATUS[work.event.execution.outcome] for work in written)
            for status, count in statuses.items():
                metrics.PUBLISHED.labels(status).inc(count)
            metrics.DOCUMENT_BYTES.inc(sum(len(work.document) for work in written))
            metrics.HANDLED.labels(STAGE).inc(len(written))
            metrics.DOCUMENTS_UNWRITTEN.set(self.writers.in_flight)
        return len(written)

    def _receive(self, block_ms: int) -> None:
        # A bound on what S3 has not taken yet: memory stays flat while it is away. Without room
        # the inbox only sends commits and waits for the next document to be written.
        count_max = min(IN_FLIGHT_MAX - self.writers.in_flight, self.settings.batch_max)
        for delivery in self.inbox.receive(count_max, block_ms, self.writers.wake):
            event = take_event(STAGE, self.inbox, delivery, self.settings.attempts_max)
            if isinstance(event, InvocationTuned):
                work = Work(delivery, event, build_document(event), document_key(event))
                self.unannounced.append(work)
            elif isinstance(event, MemoryLimitChanged):
                self.ungranted.append((delivery, event))
            elif event is not None:
                self.inbox.bury(delivery, f"{type(event).__name__} is no result")

    def _announce(self) -> int:
        """Tell the receivers, who then need not wait for S3, all in one round trip.

        Limits that were changed come first: who has the result may rely on them.
        """
        while self.ungranted:
            delivery, change = self.ungranted[0]
            self.log.grant(change)  # after a crash once more: it changes nothing
            self.inbox.commit(delivery, ())
            self.ungranted.pop(0)
        announced = self.unannounced
        if not announced:
            return 0
        results = [_announcement(work) for work in announced]
        self.log.publish(results, self.settings.result_ttl_s)
        self.unannounced = []
        for work in announced:
            self.writers.write(work, work.key, work.document)
        now_ms = self.now_ms()
        for work in announced:
            waited_ms = now_ms - work.event.execution.requested_at_ms
            metrics.RESULT_LATENCY.observe(max(waited_ms, 0) / 1_000)
        metrics.DOCUMENTS_UNWRITTEN.set(self.writers.in_flight)
        return len(announced)

    def _publication(self, work: Work) -> ResultPublished:
        cause = work.event
        return ResultPublished(
            event_id=derive_event_id(cause.event_id, "ResultPublished"),
            invocation_id=cause.invocation_id,
            causation_id=cause.event_id,
            occurred_at_ms=self.now_ms(),
            function_id=cause.execution.function_id,
            outcome=cause.execution.outcome,
            document=S3Object(bucket=self.bucket, key=work.key),
            document_bytes=len(work.document),
        )


def _announcement(work: Work) -> PublishedResult:
    request_id, reply_to = work.event.invocation_id, work.event.execution.reply_to
    channels = (result_channel(request_id), *((reply_to,) if reply_to else ()))
    return PublishedResult(request_id, channels, work.document)
