"""An archiver that kills itself: `python -m tests.crash.die_archiving SEAM URL FOLDER`."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archiver.archiver import Archiver
from tests.integration.archiving import make_archiver


def die(*_: Any, **__: Any) -> Any:
    """As if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(step: Callable[..., Any], suffix: str) -> Callable[..., Any]:
    """The step, unless it is for a file whose name ends so."""
    return lambda name, content: die() if name.endswith(suffix) else step(name, content)


def arm(archiver: Archiver, seam: str) -> None:
    """Put the trap at the seam."""
    archive, retention = archiver.archive, archiver.retention
    put, trim = archive.put, retention.trim
    traps: dict[str, tuple[object, str, Callable[..., Any]]] = {
        "before-plan": (retention, "plan", die),
        "before-file": (archive, "put", die_before(put, ".parquet")),
        "before-line": (archive, "put", die_before(put, ".json")),
        "before-finish": (retention, "finish", die),
        "before-trim": (retention, "trim", die),
        "after-trim": (retention, "trim", lambda *given: trim(*given) and die()),
    }
    setattr(*traps[seam])


if __name__ == "__main__":
    turned = make_archiver(sys.argv[2], Path(sys.argv[3]))
    arm(turned, sys.argv[1])
    while turned.run_once():
        pass
