"""The S3 writers: a bounded pool of threads, and a descriptor that says when one is done.

Not here: what is written, and what follows from it (`stage`).
"""

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from publisher.results_bucket import BucketUnavailableError
from shared.backoff import Backoff

T = TypeVar("T")


class Bucket(Protocol):
    """Where documents are written."""

    name: str

    def write(self, key: str, document: bytes) -> None:
        """Put one document. Raises BucketUnavailableError."""
        ...


class Writers(Generic[T]):
    """Writes documents at the same time; `T` is what the caller remembers of each."""

    def __init__(self, bucket: Bucket, count: int) -> None:
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="s3-writer")
        self._stopping = threading.Event()
        self._done: deque[tuple[T, Future[bool]]] = deque()
        self.in_flight = 0
        # Non-blocking: a full pipe says "done" as well as one more byte would.
        self.wake, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def write(self, work: T, key: str, document: bytes) -> None:
        """Begin to write; `wake` becomes readable when it is done."""
        self.in_flight += 1
        future = self._threads.submit(self._write_until_taken, key, document)
        future.add_done_callback(lambda done: self._tell((work, done)))

    def take_done(self) -> list[T]:
        """What has been written since the last call, each once."""
        with suppress(BlockingIOError):
            os.read(self.wake, 4096)
        taken = []
        while self._done:
            work, future = self._done.popleft()
            self.in_flight -= 1
            if not future.cancelled() and future.result():
                taken.append(work)
        return taken

    def close(self) -> None:
        """Give up what S3 does not take now, and end the threads."""
        self._stopping.set()
        self._threads.shutdown(cancel_futures=True)
        os.close(self.wake)
        os.close(self._wake_end)

    def _write_until_taken(self, key: str, document: bytes) -> bool:
        """Whether it was written; only a stop keeps it from being tried again."""
        backoff = Backoff("publisher", "s3")
        while not self._stopping.is_set():
            try:
                self._bucket.write(key, document)
            except BucketUnavailableError as error:
                backoff.wait(self._stopping, error)
            else:
                backoff.reset()
                return True
        backoff.reset()
        return False

    def _tell(self, done: tuple[T, Future[bool]]) -> None:
        self._done.append(done)
        with suppress(BlockingIOError):
            os.write(self._wake_end, b"1")
