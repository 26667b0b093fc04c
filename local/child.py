"""A server that runs as a child process and never outlives this one.

Not here: which server (`redis_server`, `aws_server`) and when it is started again (`process`).
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path

_LAUNCHER = Path(__file__).with_name("die_with_parent.py")
_POLL_SECONDS = 0.01
_START_SECONDS_MAX = 300  # a long log takes a while to load
_PREDECESSOR_SECONDS = 3.0  # that of a killed process is just leaving
_STOP_SECONDS = 4.0  # honcho gives five


class LocalError(Exception):
    """A server of the embedded default does not run; the message names the cause and the cure."""


@dataclass(kw_only=True)
class Child:
    """One server process. Started and stopped on the same thread, which outlives it."""

    name: str
    command: list[str]
    answers: Callable[[], bool]  # asks the server once, quickly
    log: Path  # where it writes what it has to say
    environment: dict[str, str]
    explain: Callable[[str], str]  # the end of its log -> cause and next step
    prepare: Callable[[], None] = lambda: None  # makes what the server forgot, after each start
    keep_open: tuple[int, ...] = ()
    _log_start: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def id(self) -> int | None:
        """The process id, while there is one."""
        return self._process.pid if self._process else None

    def start(self, stop: threading.Event) -> None:
        """Run it and wait until it answers, or until `stop`. Raises LocalError."""
        self._wait_until_address_is_free(stop)
        self._run()
        if self._wait_until_it_answers(stop):
            self.prepare()

    def is_alive(self) -> bool:
        """It runs, as far as the kernel knows."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, wait, insist. May be called again."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait_until_address_is_free(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + _PREDECESSOR_SECONDS
        while self.answers() and not stop.wait(_POLL_SECONDS):
            if time.monotonic() > deadline:
                raise LocalError(self.explain("Address already in use"))

    def _run(self) -> None:
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(getpid())]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*launcher, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                pass_fds=self.keep_open,
                # honcho signals whole process groups: the stages still need it while they drain
                start_new_session=True,
            )

    def _wait_until_it_answers(self, stop: threading.Event) -> bool:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not (self.answers() and self.is_alive()):
            if not self.is_alive():
                raise LocalError(self.explain(self._last_words()))
            if time.monotonic() > deadline:
                self.stop()
                message = f"{self.name} gave no answer in {_START_SECONDS_MAX} s; see {self.log}."
                raise LocalError(message)
            if stop.wait(_POLL_SECONDS):
                return False
        return True

    def _last_words(self) -> str:
        with self.log.open(errors="replace") as log:
            log.seek(self._log_start)
            return log.read()[-2_000:].strip()
