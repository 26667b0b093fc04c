"""How the executor talks to what runs in a sandbox: frames, whatever carries them.

Not here: what frames mean (`loop`), when they are sent (`seat`).
"""

import socket
from typing import Protocol

from executor.frames import CALL, INIT, Decoder, Frame, Head, encode

_READ_BYTES = 1 << 18


class Channel(Protocol):
    """One sandbox's way in and out, without blocking. It tells what comes out as frames.

    The order is: INIT out, READY in; then CALL out, ANSWER in, as often as one likes.
    """

    says_ready: bool  # another READY comes after an ANSWER, before the next CALL may be sent

    def fileno(self) -> int:
        """Readable when `receive` has something to say."""
        ...

    def encode_init(self, head: Head) -> bytes:
        """What `send` takes to load the function."""
        ...

    def encode_call(self, head: Head, event: bytes) -> bytes:
        """What `send` takes to call the function."""
        ...

    def send(self, message: bytes) -> None:
        """Send what was encoded. Raises nothing: a sandbox that does not take it is overdue."""
        ...

    def receive(self) -> list[Frame] | None:
        """Frames that have come; None when the process is gone. Raises FrameError."""
        ...

    def close(self) -> None:
        """Let go of what the channel opened; the sandbox closes its own sockets."""
        ...


class FrameChannel:
    """To a bootstrap of our own, which speaks frames itself."""

    says_ready = False  # it reads its next call when it is done with this one

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder = Decoder()

    def fileno(self) -> int:
        """See `Channel`."""
        return self._control.fileno()

    def encode_init(self, head: Head) -> bytes:
        """See `Channel`."""
        return encode(INIT, head)

    def encode_call(self, head: Head, event: bytes) -> bytes:
        """See `Channel`."""
        return encode(CALL, head, event)

    def send(self, message: bytes) -> None:
        """See `Channel`."""
        send_whole(self._control, message)

    def receive(self) -> list[Frame] | None:
        """See `Channel`."""
        try:
            received = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            return None
        return self._decoder.feed(received) if received else None

    def close(self) -> None:
        """See `Channel`."""


def send_whole(control: socket.socket, message: bytes) -> None:
    """Write a frame; a bootstrap that does not read is seen by its deadline or its end."""
    try:
        sent = control.send(message)
        if sent < len(message):
            control.settimeout(5.0)  # large input: the bootstrap is there to read it
            control.sendall(message[sent:])
            control.settimeout(0.0)
    except (BlockingIOError, ConnectionError, TimeoutError):
        control.settimeout(0.0)
