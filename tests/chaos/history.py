"""What is known about a run when it is over: what was sent, and everything that came of it. Data.

Not here: where it is read (`evidence`), whether it is right (`checker`).
"""

from dataclasses import dataclass, field

from tests.chaos.load import Sending


@dataclass(frozen=True)
class Ended:
    """An InvocationFinished."""

    request_id: str
    attempt: int
    at_ms: int  # of its entry, by the clock of Redis


@dataclass(frozen=True)
class Letter:
    """A DeadLettered."""

    stage: str
    request_id: str
    payload: bytes
    reason: str = ""


@dataclass(frozen=True)
class Stored:
    """A result document in S3."""

    request_id: str
    key: str
    md5: str


@dataclass
class History:
    """One run."""

    sent: list[Sending] = field(default_factory=list)
    requested: list[tuple[str, int]] = field(default_factory=list)  # and when
    ended: list[Ended] = field(default_factory=list)
    profiled: list[str] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)
    published: list[tuple[str, int]] = field(default_factory=list)  # and when
    letters: list[Letter] = field(default_factory=list)
    heard: dict[str, list[bytes]] = field(default_factory=dict)  # on pub/sub
    kept: dict[str, bytes] = field(default_factory=dict)  # job keys
    stored: list[Stored] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)  # large ones, by request id
    witnessed: dict[str, int] = field(default_factory=dict)  # runs that left a file
    left_in_queue: int = 0
    left_pending: dict[str, int] = field(default_factory=dict)
    ended_processes: list[str] = field(default_factory=list)  # that ended without being killed
    # When an executor was dead, stopped or cut off: milliseconds of the clock of Redis.
    interruptions: list[tuple[int, int]] = field(default_factory=list)
