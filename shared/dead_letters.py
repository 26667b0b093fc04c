"""Dead letters: found in the log, and put back where they came from.

Not here: burying (`redis_inbox`), how people are shown them (`cli`, `console`).
"""

from collections.abc import Iterator
from typing import NamedTuple

from shared.codec import UndecodableError, decode
from shared.events import DeadLettered
from shared.log import Log


class Letter(NamedTuple):
    """One entry of a dead stream."""

    partition: int
    entry_id: str
    event: DeadLettered


class NeverAnEntryError(Exception):
    """The letter was an SQS message that no stream ever had; the message says what to do."""


def read_letters(log: Log, partitions: int) -> Iterator[Letter]:
    """All of them, oldest first in each partition. Raises LogUnavailableError."""
    for partition in range(partitions):
        for entry_id, payload in log.dead_letters(partition):
            letter = read_letter(partition, entry_id, payload)
            if letter is not None:
                yield letter


def read_letter(partition: int, entry_id: str, payload: bytes) -> Letter | None:
    """The letter in an entry of a dead stream; None where it is none."""
    try:
        event = decode(payload)
    except UndecodableError:
        return None
    return Letter(partition, entry_id, event) if isinstance(event, DeadLettered) else None


def put_back(log: Log, letter: Letter) -> str:
    """Append its bytes to its stream again; the new entry's id. The letter stays as history.

    Raises NeverAnEntryError, LogUnavailableError.
    """
    if not letter.event.stream:
        raise NeverAnEntryError(
            "This was an SQS message and never an entry: send the message again, mended."
        )
    entry_id: str = log.append_again(letter.event.stream, letter.partition, letter.event.payload)
    return entry_id
