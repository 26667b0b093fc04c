"""What a dead letter goes back as: an entry into its stream, an SQS message into `requests`. Pure.

An SQS message is read as ingest reads it, by this version: what was unreadable then may be readable
now, or was mended. It does not go through SQS again: no right to send is needed, and its id stays,
by which a second try is recognised.

Not here: appending (`shared.dead_letters`).
"""

import time

from ingest.message import Unusable, parse_message
from shared.codec import EVENT_BYTES_MAX, UndecodableError, decode, encode, read_invocation_id
from shared.dead_letters import Letter, Return
from shared.events import DeadLettered
from shared.settings import Settings
from shared.topology import DEAD, REQUESTS, STREAMS, partition_of


class CannotReturnError(Exception):
    """A letter cannot be put back; the message names the next step."""


def decide_return(letter: Letter, mended: bytes | None, settings: Settings) -> Return:
    """Where a letter goes back to and as what bytes; `mended` replaces those that were buried."""
    if letter.event is None:
        raise CannotReturnError("the letter itself cannot be read: `hearth dead purge` deletes it")
    if letter.is_cut and mended is None:
        raise CannotReturnError(
            f"only {len(letter.event.payload)} of {letter.event.payload_bytes} bytes were kept: "
            "have the sender send it again, or give the whole with --body FILE"
        )
    payload = letter.event.payload if mended is None else mended
    if not letter.event.stream:
        return _return_message(letter.event, payload, settings)
    return _return_entry(letter, letter.event, payload, is_mended=mended is not None)


def _return_entry(
    letter: Letter, event: DeadLettered, payload: bytes, *, is_mended: bool
) -> Return:
    stream = next((one for one in STREAMS if one.name == event.stream), None)
    if stream is None or stream is DEAD:
        raise CannotReturnError(f"there is no stream {event.stream!r} to put it back into")
    if is_mended:
        _check_mended(payload)
    request_id = read_invocation_id(payload) if stream is REQUESTS else ""
    return Return(stream, letter.partition, payload, request_id)


def _check_mended(payload: bytes) -> None:
    try:
        decode(payload)
    except UndecodableError as error:
        raise CannotReturnError(f"what --body gives is no event: {error}") from error
    if len(payload) > EVENT_BYTES_MAX:
        raise CannotReturnError(f"what --body gives has more than {EVENT_BYTES_MAX} bytes")


def _return_message(event: DeadLettered, payload: bytes, settings: Settings) -> Return:
    message_id = event.invocation_id
    found = parse_message(
        payload.decode(errors="surrogateescape"),
        message_id=message_id,
        now_ms=time.time_ns() // 1_000_000,
        settings=settings,
    )
    if isinstance(found, Unusable):
        raise CannotReturnError(
            f"it is still unusable ({found.reason}): mend a copy and give it with --body FILE, "
            "have the sender send it again, or `hearth dead purge` it"
        )
    return Return(
        REQUESTS,
        partition_of(found.function_id, settings.partitions),
        encode(found),
        found.invocation_id,
        # Its burial settled the message's own id; any other id that is settled has a result.
        is_known_request=found.invocation_id != message_id,
    )
