"""Threads for what blocks: S3, the Docker API. Their results come back to the loop through a pipe.

No invocation passes through here on its warm way.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from shared.wire import wait_readable

Work = Callable[[], Any]
Done = Callable[[Any], None]


class Background:
    """Runs work on threads and its continuation on the thread that calls `finish_done`.

    A failure of our own in the work is raised again in `finish_done`, so that it is not lost.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="background")
        self._done: deque[tuple[Done | None, Future[Any]]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.stopping = threading.Event()
        self.running = 0

    def fileno(self) -> int:
        """Readable when work is done."""
        return self._wake

    def submit(self, work: Work, done: Done | None = None) -> None:
        """Run `work` on a thread, then `done` with its result in the loop."""
        self._submit_to(self._pool, work, done)

    def run_apart(self, work: Work, done: Done | None = None) -> None:
        """The same on a thread of its own: for what lasts as long as an invocation."""
        alone = ThreadPoolExecutor(1, thread_name_prefix="apart")
        self._submit_to(alone, work, done)
        alone.shutdown(wait=False)

    def _submit_to(self, threads: ThreadPoolExecutor, work: Work, done: Done | None) -> None:
        self.running += 1

        def arrived(future: Future[Any]) -> None:
            self._done.append((done, future))
            os.eventfd_write(self._wake, 1)

        threads.submit(work).add_done_callback(arrived)

    def clear_wake(self) -> None:
        """Take back the wake-up, before `finish_done`: what is done later wakes again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def finish_done(self) -> None:
        """Continue with everything that is done."""
        while self._done:
            done, future = self._done.popleft()
            self.running -= 1
            result = future.result()
            if done is not None:
                done(result)

    def close(self) -> None:
        """Wait for what runs, and for what its continuations submit."""
        self.stopping.set()
        while self.running:
            wait_readable([self._wake], 1.0)
            self.clear_wake()
            self.finish_done()
        self._pool.shutdown(wait=True)
        os.close(self._wake)
