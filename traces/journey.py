"""The way of one invocation through the log, put together from its entries. Pure.

An entry id begins with the moment of its append, and events carry what the executor measured: so
nothing on the way of an invocation has to know of traces.
Not here: reading the log (`process`), the spans (`spans`).
"""

import re
from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from shared.codec import UNREADABLE, UndecodableError, decode
from shared.events import InvocationTuned

JOURNEYS_MAX = 20_000  # under way at a time; what is dead never ends

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
_TYPES = {
    "InvocationRequested", "InvocationRejected", "InvocationFinished", "InvocationProfiled",
    "InvocationTuned", "ResultPublished",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parent:
    """The span of a sender that asked for the invocation (W3C Trace Context)."""

    trace_id: int
    span_id: int
    is_sampled: bool


@dataclass(slots=True)
class Journey:
    """What is known of one invocation. Moments are Unix milliseconds; 0: not seen."""

    requested_ms: int = 0
    executed_ms: int = 0
    profiled_ms: int = 0
    tuned_ms: int = 0
    published_ms: int = 0
    tuned: InvocationTuned | None = None
    document: str = ""
    parent: Parent | None = None


class _Place(msgspec.Struct):
    bucket: str = ""
    key: str = ""


class _Header(msgspec.Struct):
    """What every event says, and the few fields that a trace takes from one type alone."""

    type: str
    invocation_id: str = ""
    traceparent: str | None = None
    document: _Place = msgspec.field(default_factory=_Place)


_header_decoder = msgspec.json.Decoder(_Header)


def read_traceparent(text: str | None) -> Parent | None:
    """The sender's span, or None where none was given or it is not as W3C writes it."""
    match = _TRACEPARENT.fullmatch(text or "")
    if match is None:
        return None
    return Parent(int(match[1], 16), int(match[2], 16), bool(int(match[3], 16) & _SAMPLED))


class Journeys:
    """Those that are under way; bounded, the oldest is forgotten first."""

    def __init__(self, count_max: int = JOURNEYS_MAX) -> None:
        self._count_max = count_max
        self._under_way: OrderedDict[str, Journey] = OrderedDict()

    def note(self, entry_id: str, payload: bytes) -> Journey | None:
        """Take an entry in; the whole journey where that was the last that it needed."""
        try:
            header = _header_decoder.decode(payload)
        except UNREADABLE:
            return None
        if header.type not in _TYPES:
            return None
        journey = self._under_way.get(header.invocation_id) or self._begin(header.invocation_id)
        appended_ms = int(entry_id.partition("-")[0])
        match header.type:
            case "InvocationRequested" | "InvocationRejected":
                journey.requested_ms = appended_ms
                journey.parent = read_traceparent(header.traceparent)
            case "InvocationFinished":
                journey.executed_ms = appended_ms
            case "InvocationProfiled":
                journey.profiled_ms = appended_ms
            case "InvocationTuned":
                journey.tuned_ms = appended_ms
                journey.tuned = _read_tuned(payload)
            case _:
                journey.published_ms = appended_ms
                journey.document = f"s3://{header.document.bucket}/{header.document.key}"
        if not journey.published_ms or journey.tuned is None:
            return None
        return self._under_way.pop(header.invocation_id)

    def _begin(self, invocation_id: str) -> Journey:
        if len(self._under_way) >= self._count_max:
            self._under_way.popitem(last=False)
        journey = self._under_way[invocation_id] = Journey()
        return journey


def _read_tuned(payload: bytes) -> InvocationTuned | None:
    try:
        event = decode(payload)
    except UndecodableError:
        return None
    return event if isinstance(event, InvocationTuned) else None
