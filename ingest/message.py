"""The body of an SQS message to the event that it means. Pure: no clock, no network.

Not here: how messages are received or settled. The fields are those of `docs/design.md`; unknown
ones are ignored, and null counts as absent. What a sender got wrong becomes InvocationRejected, in
words that say what to mend; only what is no JSON object is Unusable, because nobody can be told.
"""

import json
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from ingest.fields import Fields, RefusedError, is_deeper_than, show
from ingest.request import Origin, read_reply_to, read_request
from shared.codec import EVENT_BYTES_MAX, UNREADABLE
from shared.events import InvocationRejected, InvocationRequested, derive_event_id
from shared.settings import Settings

# Far below the recursion limit of every reader behind us: msgspec, Python's and Node's JSON.
NESTING_MAX = 256
# What an event holds besides the message's own bytes (ids, tag, bucket), generously.
_HEADER_BYTES = 4_096
_SENDER_FIELDS = ("requestId", "functionId", "replyTo")

_decoder = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message that nobody can be told about."""

    reason: str


def parse_message(
    body: str, *, message_id: str, now_ms: int, settings: Settings
) -> InvocationRequested | InvocationRejected | Unusable:
    """What a message means. Never raises, whatever the body is.

    The same body and message id give the same event id and causation id at every delivery.
    `now_ms` is when it was accepted.
    """
    try:
        payload = body.encode()
    except UnicodeEncodeError as error:
        return Unusable(f"not UTF-8: {error.reason}")
    try:
        fields = Fields(_decoder.decode(payload))
    except RecursionError:
        return Unusable("nested too deeply to be read")
    except msgspec.DecodeError as error:
        return _reject_unreadable(payload, str(error), message_id, now_ms)
    origin = Origin(fields.usable_id("requestId") or message_id, message_id, now_ms)
    try:
        _check_depth(payload)
        event = read_request(fields, origin, settings)
        _check_size(event, payload)
    except RefusedError as refused:
        return _reject(fields, refused, origin)
    return event


def _check_depth(payload: bytes) -> None:
    if is_deeper_than(NESTING_MAX, payload):
        reason = f"the message is nested deeper than {NESTING_MAX} levels; make it flatter"
        raise RefusedError("input", reason)


def _check_size(event: InvocationRequested, payload: bytes) -> None:
    # An event repeats the message's own JSON and adds a header, so small messages need no look.
    if len(payload) <= EVENT_BYTES_MAX - _HEADER_BYTES:
        return
    size = len(_encoder.encode(event))
    if size > EVENT_BYTES_MAX:
        field = "input" if len(bytes(event.input)) > size // 2 else "envVars"
        reason = (
            f"the request takes {size} bytes and at most {EVENT_BYTES_MAX} fit; "
            "put what is large into S3 and name its place in input"
        )
        raise RefusedError(field, reason)


def _reject(fields: Fields, refused: RefusedError, origin: Origin) -> InvocationRejected:
    try:
        reply_to = read_reply_to(fields, origin.request_id)
    except RefusedError:
        reply_to = None
    return InvocationRejected(
        event_id=derive_event_id(origin.request_id, "InvocationRejected"),
        invocation_id=origin.request_id,
        causation_id=origin.message_id,
        occurred_at_ms=origin.accepted_at_ms,
        function_id=fields.usable_id("functionId") or "",
        field=refused.field,
        reason=refused.reason,
        reply_to=reply_to,
    )


def _reject_unreadable(
    payload: bytes, reason: str, message_id: str, now_ms: int
) -> InvocationRejected | Unusable:
    """JSON that Python's laxer reader takes (NaN, half a surrogate pair) still names its sender."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return Unusable(f"not a JSON object: {reason}")
    if not isinstance(found, dict):
        return Unusable(f"not a JSON object: {show(payload)}")
    names = [one for one in _SENDER_FIELDS if isinstance(found.get(one), str)]
    fields = Fields({name: Raw(json.dumps(found[name]).encode()) for name in names})
    origin = Origin(fields.usable_id("requestId") or message_id, message_id, now_ms)
    words = f"the message is not strict JSON ({reason}); mend the sender"
    return _reject(fields, RefusedError("body", words), origin)


def read_function_of(body: bytes) -> str:
    """The function that a message names, as far as it can be read; empty otherwise."""
    try:
        return Fields(_decoder.decode(body)).usable_id("functionId") or ""
    except UNREADABLE:
        return ""
