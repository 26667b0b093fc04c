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

    def __init__(self, threads: int, slow_threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="background")
        self._slow_pool = ThreadPoolExecutor(slow_threads, thread_name_prefix="slow")
        self._done: deque[tuple[Done | None, Future[Any]]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.stopping = threading.Event()
        self.running = 0
        self._slow_threads = slow_threads
        self._slow_running = 0  # queued ones too

    def fileno(self) -> int:
        """Readable when work is done."""
        return self._wake

    def submit(self, work: Work, done: Done | None = None) -> None:
        """Run `work` on a thread, then `done` with its result in the loop."""
        self._submit(self._pool, work, done)

    def submit_slow(self, work: Work, done: Done | None = None) -> None:
        """The same for what keeps a processor busy for long, on few threads of its own.

        A burst of it must not stand before quick work, nor take the processors from it.
        """
        self._slow_running += 1

        def finished(result: object) -> None:
            self._slow_running -= 1
            if done is not None:
                done(result)

        self._submit(self._slow_pool, work, finished)

    def run_apart(self, work: Work, done: Done | None = None) -> None:
        """The same on a thread of its own: for what lasts as long as an invocation."""
        alone = ThreadPoolExecutor(1, thread_name_prefix="apart")
        self._submit(alone, work, done)
        alone.shutdown(wait=False)

    @property
    def has_slow_room(self) -> bool:
        """More slow work would not have to wait."""
        return self._slow_running < self._slow_threads

    def _submit(self, pool: ThreadPoolExecutor, work: Work, done: Done | None) -> None:
        self.running += 1

        def arrived(future: Future[Any]) -> None:
            self._done.append((done, future))
            os.eventfd_write(self._wake, 1)

        pool.submit(work).add_done_callback(arrived)

    def wake(self) -> None:
        """Wake the loop, from any thread."""
        os.eventfd_write(self._wake, 1)

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
        self._slow_pool.shutdown(wait=True)
        os.close(self._wake)
