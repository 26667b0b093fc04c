"""`inputS3` on its way into a sandbox: from S3 through a bounded window into a FIFO.

Not here: the ranges (`input_source`), the memory (`input_window`), what a failure means for the
invocation (`loop`).

What it must hold, and does by the order of its steps:
1. The function never takes a broken stream for a whole one: on a failure the FIFO's end stays
   open until `stop`, which comes after the sandbox was killed.
2. A warm sandbox never sees the stream of an earlier call: each stream has a FIFO of its own,
   whose name is gone as soon as it was opened, or when the call ends.
3. Nothing of it blocks the loop: `begin` makes the FIFO, `stop` gives signs; threads do the rest.
"""

import fcntl
import os
import select
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from executor.input_source import (
    UNREAD,
    InputChangedError,
    InputSource,
    InputUnavailableError,
    Opened,
    close_body,
)
from executor.input_window import Part, Window
from shared import metrics
from shared.backoff import Backoff
from shared.events import Failure

FIFO_NAME = "input"
PART_BYTES = 8 << 20
_FETCHERS_MAX = 6
_PIPE_BYTES = 1 << 20  # what the kernel grants without privileges
_LOOK_SECONDS = 0.1  # how soon a feeder that waits for the function sees that nobody wants more


class InputStream:
    """One object on its way to one call. `feed` runs on a thread, the rest in the loop."""

    def __init__(self, source: InputSource, opened: Opened, window_bytes: int) -> None:
        """Begin to fetch the first part: the sandbox may have to be started first."""
        self.version = opened.version
        self._source = source
        self._window = Window(opened.version.size_bytes, PART_BYTES, window_bytes)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._first_body = opened.body
        self._path: Path | None = None
        self._fifo = -1  # leads to it also when its name is gone
        self._is_open = False
        self._fed = False
        self._write_end = -1
        self._release = -1
        self._failure: Failure | None = None
        self._absent: object = None  # what S3 said last, while it is waited for
        self._start_fetchers(1)

    def begin(self, run: Path) -> None:
        """Put the FIFO into the run folder of the sandbox; `feed` may follow."""
        self._path = run / FIFO_NAME
        os.mkfifo(self._path)
        self._path.chmod(0o644)  # whatever the umask: another uid reads it
        self._fifo = os.open(self._path, os.O_PATH | os.O_CLOEXEC)

    def feed(self) -> Failure | None:
        """Hand everything to whoever opens the FIFO. Blocks until the end, or `stop`.

        A failure means that the function must be killed before `stop`.
        """
        try:
            if self._open():
                self._pump()
        finally:
            self._window.close()
            metrics.STREAMED.labels("in").inc(self._window.taken_bytes)
            with self._lock:
                self._fed = True
                failed = self._failure is not None and not self._stop.is_set()
                if not failed:
                    self._close_write_end()
                for descriptor in (self._release, self._fifo):
                    if descriptor >= 0:
                        os.close(descriptor)
        return self._failure if failed else None

    def stop(self) -> None:
        """Nobody wants the rest. May be called again, and without `begin`."""
        with self._lock:
            if self._stop.is_set():
                return
            self._stop.set()
            self._window.close()
            if self._path is None:
                return
            if self._fed:
                self._close_write_end()
                return
            # A feeder that waits for a reader gets one, and keeps it until it has seen the sign.
            self._release = os.open(self._reopen, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if not self._is_open:
                self._path.unlink(missing_ok=True)

    def describe_wait(self) -> str:
        """What the function may be waiting for: a sentence where S3 does not answer, else empty."""
        absent = self._absent
        if absent is None:
            return ""
        read, size = self._window.taken_bytes, self.version.size_bytes
        return f" S3 did not answer for inputS3, read up to {read} of {size} bytes: {absent}."

    @property
    def _reopen(self) -> str:
        return f"/proc/self/fd/{self._fifo}"

    # -- to the sandbox ----------------------------------------------------------------------------

    def _open(self) -> bool:
        """Wait until the function opens the FIFO; whether it did."""
        assert self._path is not None, "feed without begin"
        self._write_end = os.open(self._reopen, os.O_WRONLY | os.O_CLOEXEC)
        with self._lock:
            if self._stop.is_set():
                return False
            # A stream can be read once. Who opens it again is told so by the missing name, and
            # does not wait for ever.
            self._path.unlink(missing_ok=True)
            self._is_open = True
        os.set_blocking(self._write_end, False)
        with suppress(OSError):  # another limit of the kernel: it works with less
            fcntl.fcntl(self._write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return True

    def _pump(self) -> None:
        waiting = select.poll()
        waiting.register(self._write_end, select.POLLOUT)
        parts_left = max(-(-self.version.size_bytes // PART_BYTES) - 1, 0)
        while (view := self._window.take()) is not None:
            try:
                self._window.taken(os.write(self._write_end, view))
                # Not earlier: their requests would delay the first byte, and are not needed by a
                # function that looks at the beginning alone, which fits into the pipe.
                if parts_left and self._window.taken_bytes > _PIPE_BYTES:
                    self._start_fetchers(min(parts_left, _FETCHERS_MAX - 1))
                    parts_left = 0
            except BlockingIOError:
                waiting.poll(_LOOK_SECONDS * 1000)
            except BrokenPipeError:  # the function has read enough
                return
        whole = self._window.taken_bytes == self.version.size_bytes
        assert whole or self._failure or self._stop.is_set(), "a thread that fetches has died"

    def _close_write_end(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    # -- from S3 -----------------------------------------------------------------------------------

    def _start_fetchers(self, count: int) -> None:
        for _ in range(count):
            threading.Thread(target=self._fetch_parts, name="input-fetch", daemon=True).start()

    def _fetch_parts(self) -> None:
        finished = False
        backoff = Backoff("executor", "s3")
        try:
            while (part := self._window.claim()) is not None:
                self._fetch(part, backoff)
            finished = True
        except InputChangedError as error:
            self._failure = Failure(
                type="Input.Changed",
                message=f"{error}. Send the message again; write new objects under new keys",
            )
        finally:
            backoff.reset()
            if not finished:
                self._window.close()
            if self._window.is_closed and (body := self._take_first_body()) is not None:
                close_body(body)

    def _fetch(self, part: Part, backoff: Backoff) -> None:
        """All of a part, tried again from where it stopped for as long as it is wanted."""
        while self._window.reached(part) < part.end and not self._window.is_closed:
            try:
                self._read(part, self._window.reached(part))
            except (InputUnavailableError, *UNREAD) as error:
                self._absent = error
                backoff.wait(self._stop, error)
            else:
                self._absent = None
                backoff.reset()

    def _read(self, part: Part, at: int) -> None:
        """Read what is left of a part, from `at` on."""
        body = self._take_first_body() if part.begin == at == 0 else None
        body = body or self._source.read(self.version, at, part.end)
        try:
            while at < part.end and (room := self._window.room(part, at)) is not None:
                count = body.readinto(room)
                if not count:
                    message = f"S3: an answer ended {part.end - at} bytes early"
                    raise InputUnavailableError(message)
                at += count
                self._window.filled(part, at)
        finally:
            close_body(body)

    def _take_first_body(self) -> Any | None:  # noqa: ANN401 - of boto3
        body, self._first_body = self._first_body, None
        return body
