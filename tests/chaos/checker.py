"""The promises of the design, one by one, held against the history of a run. Pure.

Each check yields what breaks it; a verdict keeps the first few as counter-examples. Not here: where
the history comes from.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from tests.chaos.history import History

_EXAMPLES_MAX = 5


@dataclass(frozen=True)
class Verdict:
    """Whether an invariant held, over how many cases, and what breaks it."""

    invariant: str
    cases: int
    broken: int
    examples: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return self.broken == 0


class Document(msgspec.Struct, rename="camel"):
    """What the checker reads of a result document."""

    request_id: str
    status: str
    attempt: int
    output: object = None


def check(history: History) -> list[Verdict]:
    """Every invariant."""
    return [_judge(name, cases(history), find(history)) for name, cases, find in _INVARIANTS]


def _judge(name: str, cases: int, broken: Iterable[str]) -> Verdict:
    found = iter(broken)
    examples = tuple(islice(found, _EXAMPLES_MAX))
    return Verdict(name, cases, len(examples) + sum(1 for _ in found), examples)


def md5_of(document: bytes) -> str:
    """What S3 calls the ETag of an object that was written at once."""
    return hashlib.md5(document, usedforsecurity=False).hexdigest()


# -- the checks ------------------------------------------------------------------------------------


def find_lost(history: History) -> Iterator[str]:
    """Accepted, and neither a result nor a place in `dead`."""
    buried = {letter.request_id for letter in history.letters}
    for sending in history.sent:
        if sending.statuses and sending.id not in history.kept and sending.id not in buried:
            yield f"{sending.id} was sent and has neither a result nor a place in dead"


def find_doubled(history: History) -> Iterator[str]:
    """More than one end of one request, in any place where it can be seen."""
    places: dict[str, Iterable[str]] = {
        "requests": (request_id for request_id, _ in history.requested),
        "executions": (ended.request_id for ended in history.ended),
        "profiles": history.profiled,
        "recommendations": history.tuned,
        "publications": (request_id for request_id, _ in history.published),
        "S3": (stored.request_id for stored in history.stored),
        "pub/sub": (name for name, documents in history.heard.items() for _ in documents),
    }
    for place, request_ids in places.items():
        for request_id, count in Counter(request_ids).items():
            if count > 1:
                yield f"{request_id} is {count} times in {place}"
    buried = Counter(letter.request_id for letter in history.letters if letter.request_id)
    for request_id, count in buried.items():
        if request_id in history.kept:
            yield f"{request_id} has a result and is in dead"
        if count > 1:
            yield f"{request_id} is {count} times in dead"


def find_different(history: History) -> Iterator[str]:
    """Two receivers who were told different results of one request."""
    for request_id, kept in history.kept.items():
        for document in history.heard.get(request_id, ()):
            if document != kept:
                yield f"{request_id}: announced {document!r}, kept {kept!r}"
    for stored in history.stored:
        document = history.kept.get(stored.request_id, b"")
        if stored.md5 != md5_of(document):
            yield f"{stored.request_id}: {stored.key} is not what was announced: {document!r}"


def find_forgotten(history: History) -> Iterator[str]:
    """Acknowledged to a caller, and gone from where it must still be."""
    published = {request_id for request_id, _ in history.published}
    stored = {one.request_id for one in history.stored}
    ended = {one.request_id for one in history.ended}
    for request_id in history.heard:
        if request_id not in history.kept:
            yield f"{request_id} was announced, but its key is gone"
        if request_id not in ended:
            yield f"{request_id} was announced, but its end is not in the log"
    for request_id in history.kept:
        if request_id not in published:
            yield f"{request_id} has a result, but no ResultPublished"
        if request_id not in stored:
            yield f"{request_id} has a result, but no document in S3"


def find_swapped(history: History) -> Iterator[str]:
    """A result that is not of its request."""
    for sending in history.sent:
        kept = history.kept.get(sending.id)
        if kept is None:
            continue
        document = msgspec.json.decode(kept, type=Document)
        if document.request_id != sending.id:
            yield f"{sending.id} was given the result of {document.request_id}"
        if document.status not in sending.statuses:
            yield f"{sending.id} must end as {sending.statuses}: {kept[:600]!r}"
        if document.status != "SUCCESS":
            continue
        output = document.output
        if sending.kind == "large":
            output = msgspec.json.decode(history.outputs.get(sending.id, b"null"))
        if not isinstance(output, dict) or (
            (output.get("request"), output.get("nonce")) != (sending.id, sending.nonce)
        ):
            yield f"{sending.id} has the output {str(output)[:300]}"


def find_reruns(history: History) -> Iterator[str]:
    """The user's code ran again although no executor was interrupted meanwhile."""
    requested = dict(history.requested)
    attempts = {ended.request_id: ended.attempt for ended in history.ended}
    for ended in history.ended:
        asked_ms = requested.get(ended.request_id, 0)
        if ended.attempt > 1 and not any(
            began <= ended.at_ms and end >= asked_ms for began, end in history.interruptions
        ):
            yield f"{ended.request_id} ended in attempt {ended.attempt}; no executor was disturbed"
    for request_id, runs in history.witnessed.items():
        if runs > attempts.get(request_id, 0):
            yield f"{request_id} ran {runs} times in {attempts.get(request_id, 0)} attempts"


def find_left(history: History) -> Iterator[str]:
    """What a finished run leaves behind."""
    if history.left_in_queue:
        yield f"{history.left_in_queue} messages are still in the queue"
    for place, count in history.left_pending.items():
        yield f"{count} entries of {place} are not handled"


def find_wrong_letters(history: History) -> Iterator[str]:
    """Poison that is not in `dead` exactly once, and what else is there."""
    expected = {one.body.encode(): one for one in history.sent if not one.statuses}
    found = Counter(letter.payload for letter in history.letters)
    for body, sending in expected.items():
        if found[body] != 1:
            yield f"{sending.id} is {found[body]} times in dead"
    for letter in history.letters:
        if letter.payload not in expected:
            yield f"{letter.stage} buried {letter.request_id}: {letter.reason[:300]}"


def find_exits(history: History) -> Iterator[str]:
    """A process that ended by itself: a failure of our own."""
    yield from history.ended_processes


_INVARIANTS: tuple[
    tuple[str, Callable[[History], int], Callable[[History], Iterator[str]]], ...
] = (
    ("nothing is lost: a result, or a place in dead", lambda h: len(h.sent), find_lost),
    ("nothing is doubled: one end of each request everywhere", lambda h: len(h.kept), find_doubled),
    ("all receivers are told the same", lambda h: len(h.kept), find_different),
    ("what was acknowledged to a caller is not lost", lambda h: len(h.heard), find_forgotten),
    ("a result belongs to its request", lambda h: len(h.kept), find_swapped),
    ("code runs again only if an executor was interrupted", lambda h: len(h.ended), find_reruns),
    ("the queue and the pending lists are empty at the end", lambda _: 1, find_left),
    (
        "poison is in dead exactly once, and nothing else",
        lambda h: sum(not one.statuses for one in h.sent),
        find_wrong_letters,
    ),
    ("no process ended by itself", lambda _: 1, find_exits),
)
