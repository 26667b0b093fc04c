"""Frames on a sandbox's control socket: a pure encoder and an incremental decoder.

Not here: sockets, and what the heads mean.

A frame is a 9-byte header `>cII` (kind, length of the head, length of the body), the head (a JSON
object) and the body (bytes as they are). Everything that a sandbox sends is untrusted: lengths are
checked before a byte of them is kept, and whatever breaks a rule is a FrameError.
"""

from collections.abc import Iterator
from struct import Struct as Layout

from msgspec import Struct, json

from shared.codec import UNREADABLE

HEADER = Layout(">cII")
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 6 * 1024 * 1024 + 100  # Lambda's limit of inputs and outputs

HELLO = b"H"  # sandbox to host; head {pid, runtime}
INIT = b"I"  # host to sandbox; head {handler, function_id, env, memory_mb, sandbox_id, region}
READY = b"R"  # sandbox to host; head {} or {failure}
CALL = b"C"  # host to sandbox; head {id, deadline_ms, attempt, memory_mb}; body is the input
ANSWER = b"A"  # sandbox to host; head {id} or {id, failure, leaving}; body is the output
KINDS = frozenset((HELLO, INIT, READY, CALL, ANSWER))

Head = dict[str, object]

_decode_head = json.Decoder(Head).decode
_encode_head = json.Encoder().encode


class FrameError(Exception):
    """What arrived is no frame, or larger than agreed. The sandbox is not to be used any more."""


class Frame(Struct, frozen=True):
    """One message between the executor and a sandbox."""

    kind: bytes
    head: Head
    body: bytes = b""


def encode(kind: bytes, head: Head, body: bytes = b"") -> bytes:
    """The bytes of a frame. Raises FrameError where the other side would."""
    encoded = _encode_head(head)
    _check(kind, len(encoded), len(body))
    return b"".join((HEADER.pack(kind, len(encoded), len(body)), encoded, body))


class Decoder:
    """Cuts the bytes that arrive into frames. After a FrameError it must not be fed again."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, received: bytes) -> list[Frame]:
        """The frames that `received` completes, oldest first; often none or one.

        Raises FrameError. What it keeps never exceeds one frame and what it was just given.
        """
        self._unread += received
        return list(self._complete_frames())

    @property
    def is_empty(self) -> bool:
        """Nothing is left of an unfinished frame."""
        return not self._unread

    def _complete_frames(self) -> Iterator[Frame]:
        unread = self._unread
        while len(unread) >= HEADER.size:
            kind, head_length, body_length = HEADER.unpack_from(unread)
            _check(kind, head_length, body_length)
            body_at = HEADER.size + head_length
            end = body_at + body_length
            if len(unread) < end:
                return
            head = _read_head(bytes(unread[HEADER.size : body_at]))
            body = bytes(unread[body_at:end])
            del unread[:end]
            yield Frame(kind, head, body)


def _check(kind: bytes, head_length: int, body_length: int) -> None:
    if kind not in KINDS:
        message = f"unknown kind of frame {kind!r}"
        raise FrameError(message)
    if head_length > HEAD_BYTES_MAX:
        message = f"a head of {head_length} bytes; at most {HEAD_BYTES_MAX} are agreed"
        raise FrameError(message)
    if body_length > BODY_BYTES_MAX:
        message = f"a body of {body_length} bytes; at most {BODY_BYTES_MAX} are agreed"
        raise FrameError(message)


def _read_head(encoded: bytes) -> Head:
    try:
        return _decode_head(encoded)
    except UNREADABLE as error:
        message = f"a head that is not a JSON object: {error}"
        raise FrameError(message) from error
