"""Events to bytes and back: JSON, so that redis-cli, jq and Athena can read the log.

The encoder and the decoder are built once; building them costs more than a thousand events.
"""

from msgspec import DecodeError, ValidationError, json

from shared.events import Anything, Event

EVENT_BYTES_MAX = 256 * 1024

_encoder = json.Encoder()
_decoder = json.Decoder(Anything)


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
        return _decoder.decode(payload)
    except (DecodeError, ValidationError, RecursionError) as error:
        raise UndecodableError(str(error)) from error
