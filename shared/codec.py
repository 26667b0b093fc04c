"""Events to bytes and back: JSON, so that redis-cli, jq and Athena can read the log.

The encoder and the decoder are built once; building them costs more than a thousand events.
"""

from msgspec import Struct, json

from shared.events import Anything, Event

EVENT_BYTES_MAX = 256 * 1024

UNREADABLE = (ValueError, RecursionError)
"""What bytes of somebody else's may raise when msgspec decodes them.

Not DecodeError alone: of bytes inside a string that are no UTF-8 it makes a UnicodeDecodeError.
"""

_encoder = json.Encoder()
_decoder = json.Decoder(Anything)


class _Header(Struct):
    invocation_id: str = ""


_header_decoder = json.Decoder(_Header)


class UndecodableError(Exception):
    """The bytes are no event of this or an earlier schema version."""


def encode(event: Event) -> bytes:
    """The stored form. Asserts the bound that every stage relies on."""
    payload = _encoder.encode(event)
    assert len(payload) <= EVENT_BYTES_MAX, f"{type(event).__name__} of {len(payload)} bytes"
    return payload


def decode(payload: bytes) -> Anything:
    """The event in `payload`; raises UndecodableError with the reason."""
    try:
        event: Anything = _decoder.decode(payload)
    except UNREADABLE as error:
        raise UndecodableError(str(error)) from error
    return event


def read_invocation_id(payload: bytes) -> str:
    """The invocation that some bytes belong to, as far as they can be read; empty otherwise."""
    try:
        return _header_decoder.decode(payload).invocation_id
    except UNREADABLE:
        return ""
