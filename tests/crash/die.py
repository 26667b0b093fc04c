"""Runs one process of the stack that kills itself at a seam: `python -m tests.crash.die SEAM NAME`.

A seam is a step that a crash must not tear: the process gets SIGKILL when it comes to it first.
"""

import os
import signal
import sys
from typing import Any

from cli.main import main
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.wire import Wire


def die(*_: Any, **__: Any) -> None:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_commit_was_sent() -> None:
    """The commit is on its way, its answer never read."""
    send, commit = Wire.send, RedisInbox.commit
    committed: list[bool] = []

    def commit_and_note(self: RedisInbox, *arguments: Any) -> None:
        commit(self, *arguments)
        committed.append(True)

    def send_and_die(self: Wire) -> None:
        send(self)
        if committed:
            die()

    RedisInbox.commit = commit_and_note  # type: ignore[method-assign, assignment]
    Wire.send = send_and_die  # type: ignore[method-assign]


def arm(seam: str) -> None:
    """Put the trap at the seam."""
    match seam:
        case "before-commit":
            RedisInbox.commit = die  # type: ignore[method-assign]
        case "after-commit":
            die_after_commit_was_sent()
        case "before-accept":
            Log.accept = die  # type: ignore[method-assign]
        case "after-accept":
            accept = Log.accept

            def accept_and_die(self: Log, *arguments: Any, **named: Any) -> None:
                accept(self, *arguments, **named)
                die()

            Log.accept = accept_and_die  # type: ignore[method-assign]
        case _:
            raise AssertionError(seam)


if __name__ == "__main__":
    arm(sys.argv[1])
    main(["run", sys.argv[2]])
