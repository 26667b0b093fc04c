"""The listening socket of one sandbox: it lets exactly two connections in and is gone.

Not here: what is said over them (`frames`). Nothing of the function runs yet while this listens:
the bootstrap connects first and is then told what to load.
"""

import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from executor.frames import HELLO, Decoder, FrameError
from executor.sandbox import SandboxError

SOCKET_NAME = "socket"
_POLL_SECONDS = 0.2  # how often a silent sandbox is asked whether it still lives
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Connections(NamedTuple):
    """Both connections of a sandbox, non-blocking, and its bootstrap's process id here.

    `listener` came with the hello of a launcher that makes way for the function's own bootstrap.
    """

    control: socket.socket
    logs: socket.socket
    pid: int
    listener: socket.socket | None = None


class Doorway:
    """Listens in a sandbox's folder until both connections are there."""

    def __init__(self, folder: Path) -> None:
        """Listen; from now on a bootstrap may connect."""
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # By the descriptor: a socket's address has 107 bytes at most, a state folder may have more.
        self._listener.bind(f"/proc/self/fd/{self._folder}/{SOCKET_NAME}")
        # The sandbox's user is another one; the folder above is closed to everybody else.
        os.chmod(SOCKET_NAME, 0o666, dir_fd=self._folder)  # noqa: S103
        self._listener.listen(2)

    def accept_both(self, time_limit_s: float, find_death: Callable[[], str | None]) -> Connections:
        """Wait for the bootstrap. `find_death` says how the sandbox died, None while it lives.

        Raises SandboxError when it died or the time limit has passed; listens no longer then.
        """
        deadline = time.monotonic() + time_limit_s
        found: dict[bytes, socket.socket] = {}
        try:
            while len(found) < 2:
                connection = self._accept_one(deadline, find_death)
                found[_read_purpose(connection)] = connection
            listener = _read_hello(found[b"C"])
            pid = _peer_pid(found[b"C"])
        except (OSError, KeyError, FrameError, SandboxError) as error:
            for connection in found.values():
                connection.close()
            if isinstance(error, SandboxError):
                raise
            message = f"the sandbox's bootstrap did not introduce itself: {error!r}"
            raise SandboxError(message) from error
        finally:
            self.close()
        for connection in found.values():
            connection.settimeout(0)
        return Connections(found[b"C"], found[b"L"], pid, listener)

    def close(self) -> None:
        """Stop listening and remove the socket's file; may be called again."""
        self._listener.close()
        if self._folder >= 0:
            with suppress(FileNotFoundError):
                os.unlink(SOCKET_NAME, dir_fd=self._folder)
            os.close(self._folder)
            self._folder = -1

    def _accept_one(self, deadline: float, find_death: Callable[[], str | None]) -> socket.socket:
        while True:
            self._listener.settimeout(_POLL_SECONDS)
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(max(deadline - time.monotonic(), _POLL_SECONDS))
                return connection
            death = find_death()
            if death is not None:
                message = f"the sandbox ended before its bootstrap connected: {death}"
                raise SandboxError(message)
            if time.monotonic() > deadline:
                message = (
                    "the sandbox's bootstrap did not connect in time. "
                    "The host may be overloaded; lower SANDBOXES_MAX"
                )
                raise SandboxError(message)


def _read_purpose(connection: socket.socket) -> bytes:
    purpose = connection.recv(1)
    if purpose not in (b"C", b"L"):
        connection.close()
        message = f"a connection that begins with {purpose!r}"
        raise FrameError(message)
    return purpose


def _read_hello(control: socket.socket) -> socket.socket | None:
    """The listening socket that came with the hello, if one did."""
    decoder = Decoder()
    passed: list[int] = []
    with ExitStack() as undo:
        while True:
            received, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
            for descriptor in descriptors:
                undo.callback(os.close, descriptor)
            passed += descriptors
            frames = decoder.feed(received)
            if frames:
                break
            if not received:
                message = "it hung up"
                raise FrameError(message)
        if frames[0].kind != HELLO or len(frames) > 1 or not decoder.is_empty:
            message = f"it said {frames[0].kind!r} instead of hello"
            raise FrameError(message)
        if not passed:
            return None
        return _check_listener(passed)


def _check_listener(passed: list[int]) -> socket.socket:
    """The one descriptor that was passed, as what it must be. Raises FrameError."""
    try:
        listener = socket.socket(fileno=os.dup(passed[0]))
    except OSError as error:
        raise FrameError("it passed a descriptor that is no socket") from error
    kind = (listener.family, listener.type & ~socket.SOCK_NONBLOCK)
    is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if len(passed) != 1 or kind != (socket.AF_INET, socket.SOCK_STREAM) or not is_listening:
        listener.close()
        raise FrameError("it passed a descriptor that is no listening TCP socket")
    listener.settimeout(0)
    return listener


def _peer_pid(connection: socket.socket) -> int:
    """The process id as seen from here, whatever the sandbox's own PID namespace says."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(packed)
    return int(pid)
