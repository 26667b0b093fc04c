"""Work on background threads that waits for the world: S3 or the engine may come back.

Not here: what the work is.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from executor.background import Background
from executor.code_store import CodeUnavailableError
from executor.input_source import InputUnavailableError
from executor.sandbox import RuntimeMissingError, SandboxError
from shared.backoff import Backoff

T = TypeVar("T")

_ABSENT = (CodeUnavailableError, InputUnavailableError, SandboxError, BotoCoreError, ClientError)


class Lane(Enum):
    """Which threads work goes to; see `Background`."""

    QUICK = 1
    SLOW = 2
    APART = 3


class ShuttingDownError(Exception):
    """The executor stops while something was waited for; the invocation stays pending."""


class Patience:
    """Submits work to the background; the invocation stays owned while it waits."""

    def __init__(self, background: Background) -> None:
        self._background = background

    def persist(self, dependency: str, call: Callable[[], T]) -> T:
        """Call until the world answers; raises ShuttingDownError when the executor stops."""
        stopping = self._background.stopping
        backoff = Backoff("executor", dependency)
        while True:
            try:
                result = call()
            except RuntimeMissingError:
                backoff.reset()
                raise
            except _ABSENT as error:
                backoff.wait(stopping, error)
                if stopping.is_set():
                    raise ShuttingDownError from error
            else:
                backoff.reset()
                return result

    def submit(
        self, work: Callable[[], T], done: Callable[[T], None], lane: Lane = Lane.QUICK
    ) -> None:
        """Run `work` on a thread and `done` in the loop, unless the executor stopped meanwhile."""

        def guarded() -> T | None:
            try:
                return work()
            except ShuttingDownError:
                return None

        background = self._background
        submit = {
            Lane.QUICK: background.submit,
            Lane.SLOW: background.submit_slow,
            Lane.APART: background.run_apart,
        }[lane]
        submit(guarded, lambda result: None if result is None else done(result))
