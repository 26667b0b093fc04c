"""The dead stream as people handle it: read, put back, delete.

Not here: burying (`redis_inbox`, `log`), settling the SQS messages of what is dead (ingest), and
what a person wants done (`cli.dead`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.codec import UndecodableError, decode, read_invocation_id
from shared.events import DeadLettered
from shared.log import Log
from shared.topology import DEAD, REQUESTS, STREAMS, Stream, accepted_key, key, requeued_key


class Requeued(StrEnum):
    """What became of a letter that was to be put back."""

    NEW = "new"  # it was appended
    AGAIN = "again"  # it had been appended before: nothing was
    IN_FLIGHT = "in_flight"  # its request is under way
    SETTLED = "settled"  # its request has a result


@dataclass(frozen=True, slots=True)
class Letter:
    """One entry of the dead stream."""

    partition: int
    entry_id: str
    event: DeadLettered | None  # None: the entry itself cannot be read
    payload: bytes = b""  # of the entry
    requeued_as: str = ""  # the entry id it got

    @property
    def name(self) -> str:
        """How people call it: the entry id, with the partition where that is not the first."""
        return f"{self.partition}:{self.entry_id}" if self.partition else self.entry_id

    @property
    def is_cut(self) -> bool:
        """Whether the letter holds only the beginning of what was buried."""
        return self.event is not None and self.event.payload_bytes > len(self.event.payload)


@dataclass(frozen=True, slots=True)
class Return:
    """Where a letter goes back to, and as what bytes."""

    stream: Stream
    partition: int
    payload: bytes
    request_id: str = ""  # where the stream is `requests`
    is_known_request: bool = False  # a result that it may have forbids another run


class NotPutBackError(Exception):
    """A letter was not put back; the message says why and what to do."""


class DeadLetters:
    """All dead letters. Every call raises LogUnavailableError."""

    def __init__(self, log: Log, partitions: int) -> None:
        self._log = log
        self._partitions = partitions

    def read(self) -> Iterator[Letter]:
        """Every letter, oldest first within each partition."""
        requeued = self._read_requeued()
        for partition in range(self._partitions):
            for entry_id, payload in self._log.entries(DEAD, partition):
                place = f"{partition}:{entry_id}"
                event = _decode_letter(payload)
                yield Letter(partition, entry_id, event, payload, requeued.get(place, ""))

    def requeue(self, letter: Letter, back: Return) -> tuple[Requeued, str]:
        """Append it unless that was done before; what became of it, and the entry id."""
        keys = [requeued_key(back.partition), key(back.stream, back.partition)]
        if back.stream is REQUESTS and back.request_id:
            keys.append(accepted_key(back.request_id, back.partition))
        place = f"{letter.partition}:{letter.entry_id}"
        known = "known" if back.is_known_request else ""
        state, entry_id = self._log.run("requeue", keys, [place, back.payload, known])
        return Requeued(state.decode()), entry_id.decode()

    def purge(self, letters: Iterable[Letter]) -> list[Letter]:
        """Delete letters whose SQS messages are settled; returns those that it deleted."""
        by_partition: dict[int, list[Letter]] = {}
        for letter in letters:
            by_partition.setdefault(letter.partition, []).append(letter)
        return [
            letter
            for partition, alike in by_partition.items()
            for letter in self._purge(partition, alike)
        ]

    def _purge(self, partition: int, letters: Sequence[Letter]) -> list[Letter]:
        keys = [key(DEAD, partition), requeued_key(partition)]
        ids = [letter.entry_id for letter in letters]
        purged = set(self._log.run("purge", keys, [DEAD.group, f"{partition}:", *ids]))
        return [letter for letter in letters if letter.entry_id.encode() in purged]

    def _read_requeued(self) -> dict[str, str]:
        """Letter's place -> entry id. An SQS message's is in the partition of its function."""
        found: dict[str, str] = {}
        for partition in range(self._partitions):
            flat = self._log.run("requeued", [requeued_key(partition)], [])
            names = [one.decode() for one in flat]
            found |= dict(zip(names[::2], names[1::2], strict=True))
        return found


def read_letter(partition: int, entry_id: str, payload: bytes) -> Letter | None:
    """The letter in an entry of a dead stream; None where it is none."""
    event = _decode_letter(payload)
    return None if event is None else Letter(partition, entry_id, event, payload)


def put_back(log: Log, letter: Letter) -> str:
    """Append a buried entry to its stream again, once; the new entry's id.

    Raises NotPutBackError, LogUnavailableError.
    """
    event = letter.event
    stream = next((one for one in STREAMS if event is not None and one.name == event.stream), None)
    if event is None or stream is None:
        words = "This was never an entry of a stream:"
        raise NotPutBackError(f"{words} `hearth dead requeue {letter.name}` says what can be done.")
    if letter.is_cut:
        raise NotPutBackError("Only its beginning was kept: have the sender send it again.")
    request_id = read_invocation_id(event.payload) if stream is REQUESTS else ""
    back = Return(stream, letter.partition, event.payload, request_id)
    state, entry_id = DeadLetters(log, 1).requeue(letter, back)
    if not entry_id:
        raise NotPutBackError(f"Nothing was done: its request is {state.value.replace('_', ' ')}.")
    return entry_id


def _decode_letter(payload: bytes) -> DeadLettered | None:
    try:
        event = decode(payload)
    except UndecodableError:
        return None
    return event if isinstance(event, DeadLettered) else None
