"""One pipelined connection to Redis whose replies come back through callbacks, in order.

redis-py makes the connection (address, password, TLS); from then on hiredis packs and parses, and
one `sendall` carries everything that was queued. Not here: what the commands mean.

Why not redis-py's pipeline: the executor waits for Redis and for the sandboxes' sockets in one
loop, so it needs the descriptor and must never block in a reply; and a pipeline costs more than
all the rest of a small batch (`docs/design.md`).
"""

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis

from shared.inbox import LogUnavailableError

Reply = Any  # what hiredis makes of RESP2: bytes, int, None, list, ReplyError
OnReply = Callable[[Reply], None]
Command = tuple[Any, ...]  # str, bytes, int

_READ_BYTES = 1 << 18
_CONNECT_SECONDS = 5.0
CALL_SECONDS = 10.0
# Redis or its data is not ready, or elsewhere: the world's failure, worth waiting for.
_TRANSIENT = ("LOADING", "READONLY", "MISCONF", "OOM", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN",
              "NOSCRIPT", "NOGROUP", "UNKILLABLE", "BUSY", "TRYAGAIN", "MOVED", "ASK",
              "UNBLOCKED")  # fmt: skip


def check(reply: Reply) -> Reply:
    """The reply; raises LogUnavailableError for a state that passes, ReplyError for a mistake."""
    if isinstance(reply, hiredis.ReplyError):
        if str(reply).split(" ", 1)[0] in _TRANSIENT:
            raise LogUnavailableError(str(reply)) from reply
        raise reply
    return reply


class Wire:
    """A connection that may be lost and made again; nothing queued survives the loss."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url  # of the next connection
        self._name = name
        self._pool: Any = None
        self._connection: Any = None
        self._socket: Any = None
        self._reader = hiredis.Reader()
        self._waiting: deque[OnReply] = deque()
        self._queued: list[bytes] = []

    @property
    def connected(self) -> bool:
        """Whether commands can be queued."""
        return self._socket is not None

    def connect(self) -> None:
        """Connect; raises LogUnavailableError with the address and the cause."""
        self._pool = redis.ConnectionPool.from_url(
            self.url,
            protocol=2,
            client_name=self._name,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_CONNECT_SECONDS,
        )
        try:
            self._connection = self._pool.get_connection()
        except (redis.RedisError, OSError) as error:
            raise LogUnavailableError(f"Redis does not answer: {error}") from error
        # The one use of a private name of redis-py: it offers no way to hand the socket on.
        self._socket = self._connection._get_socket()  # noqa: SLF001
        self._socket.settimeout(None)
        self._reader = hiredis.Reader()

    def close(self) -> None:
        """Forget the connection and everything queued or awaited on it."""
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.disconnect()
        self._connection = self._socket = None
        self._waiting.clear()
        self._queued.clear()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return int(self._socket.fileno())

    @property
    def awaited(self) -> int:
        """How many replies are still to come."""
        return len(self._waiting)

    def queue(self, command: Command, on_reply: OnReply) -> None:
        """Keep `command` for the next `send`."""
        self._queued.append(hiredis.pack_command(command))
        self._waiting.append(on_reply)

    def send(self) -> None:
        """Everything queued, in one system call."""
        if not self._queued:
            return
        data = b"".join(self._queued)
        self._queued.clear()
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._lost(error) from error

    def pump(self) -> None:
        """Read what is there (blocks if nothing is) and hand each reply to its callback."""
        try:
            data = self._socket.recv(_READ_BYTES)
            while pending := getattr(self._socket, "pending", int)():
                data += self._socket.recv(pending)
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost("closed by Redis")
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft()(reply)

    def call(self, *commands: Command) -> list[Reply]:
        """Send and wait for the checked replies; for set-up and recovery, not for the fast path."""
        replies: list[Reply] = []
        for command in commands:
            self.queue(command, replies.append)
        self.send()
        deadline = time.monotonic() + CALL_SECONDS
        while len(replies) < len(commands):
            if not wait_readable([self.fileno()], deadline - time.monotonic()):
                raise self._lost("no answer in time")
            self.pump()
        return [check(reply) for reply in replies]

    def _lost(self, cause: object) -> LogUnavailableError:
        self.close()
        return LogUnavailableError(f"connection to Redis lost: {cause}")


def wait_readable(descriptors: Sequence[int], seconds: float) -> list[int]:
    """Those of `descriptors` that can be read or have ended; empty after `seconds`."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [ready for ready, _ in poll.poll(max(seconds, 0) * 1000)]
