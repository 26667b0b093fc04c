"""The Runtime API of one sandbox on its sockets, served from the executor's own loop.

Not here: what requests mean (`runtime_api`), their bytes (`http_requests`).

The launcher listened inside the sandbox's network and passed the listening socket out: so the
executor accepts connections of a network that it is not in, nothing of a server is in the
sandbox's memory, and no other sandbox can reach it. All descriptors of a sandbox are in an epoll of
their own, whose descriptor is the channel's.

The function decides what comes in. Bounded are the connections, what is kept of each
(`http_requests`) and, between two frames, how much may be read at all: beyond that the sandbox is
destroyed.
"""

import os
import select
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from executor.channel import send_whole
from executor.frames import BODY_BYTES_MAX, INIT, Decoder, Frame, FrameError, Head, encode
from executor.http_requests import HttpError, Request, RequestReader
from executor.lambda_environment import describe_environment, encode_environment, name_function
from executor.runtime_api import Reply, RuntimeApi, State, encode_call, encode_reply

CONNECTIONS_MAX = 8
_READ_BYTES = 1 << 18
_READS_MAX = 8  # of one connection in one turn: a flood must not keep the loop from the others
_EVENTS_MAX = 16
# Between two frames; a fair client needs a tenth of it for the largest answer.
_BYTES_MAX = 64 << 20
_EVENTS_COUNT_MAX = 50_000  # reads, connections
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(slots=True, eq=False)
class _Client:
    """One connection from inside the sandbox."""

    socket: socket.socket
    reader: RequestReader
    unsent: bytearray = field(default_factory=bytearray)
    waits: bool = False  # in /next
    closes: bool = False  # once everything is sent


class RuntimeApiChannel:
    """See `channel.Channel`."""

    says_ready = True  # an answer is given before the client has done with its call

    def __init__(self, control: socket.socket, listener: socket.socket, pid: int) -> None:
        """`control` leads to the launcher and ends when it becomes the function."""
        self._api = RuntimeApi()
        self._control = control
        self._decoder = Decoder()
        self._listener = listener
        self._clients: dict[int, _Client] = {}
        self._function_arn = ""
        self._is_gone = False
        self._bytes_left = _BYTES_MAX
        self._events_left = _EVENTS_COUNT_MAX
        self._epoll = select.epoll()
        self._epoll.register(control, select.EPOLLIN)
        self._epoll.register(listener, select.EPOLLIN)
        self._is_listening = True
        self._process = _open_process(pid)
        if self._process >= 0:
            self._epoll.register(self._process, select.EPOLLIN)

    def fileno(self) -> int:
        """See `channel.Channel`."""
        return self._epoll.fileno()

    def encode_init(self, head: Head) -> bytes:
        """See `channel.Channel`."""
        self._function_arn = name_function(head).arn
        return encode(INIT, {}, encode_environment(describe_environment(head)))

    def encode_call(self, head: Head, event: bytes) -> bytes:
        """See `channel.Channel`."""
        self._call_id = str(head["id"])
        return encode_call(head, event, self._function_arn)

    def send(self, message: bytes) -> None:
        """See `channel.Channel`."""
        if self._api.state is State.STARTED:
            send_whole(self._control, message)
            return
        self._api.begin(self._call_id, message)
        for client in self._clients.values():
            if client.waits:
                self._give_call(client)
                return

    def receive(self) -> list[Frame] | None:
        """See `channel.Channel`."""
        for descriptor, events in self._epoll.poll(0, _EVENTS_MAX):
            if descriptor == self._process:
                self._is_gone = True
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self._control.fileno():
                self._read_control()
            elif descriptor in self._clients:
                self._attend(self._clients[descriptor], events)
        if self._is_gone:
            self._read_last_words()
        frames = self._take_frames()
        return None if self._is_gone and not frames else frames

    def close(self) -> None:
        """See `channel.Channel`."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._process >= 0:
            os.close(self._process)
            self._process = -1
        self._epoll.close()

    def _take_frames(self) -> list[Frame]:
        frames, self._api.frames = self._api.frames, []
        if frames:
            self._bytes_left, self._events_left = _BYTES_MAX, _EVENTS_COUNT_MAX
        elif self._bytes_left < 0 or self._events_left < 0:
            raise FrameError("a flood of requests to the Runtime API")
        return frames

    # -- the launcher ------------------------------------------------------------------------------

    def _read_control(self) -> None:
        """The launcher hung up, having become the function, or says why it could not."""
        try:
            received = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            received = b""
        if not received:
            self._epoll.unregister(self._control)
            if self._process < 0:  # it was gone before it could be watched
                self._is_gone = True
            return
        self._api.frames += self._decoder.feed(received)

    def _read_last_words(self) -> None:
        """The process is gone: what it sent before counts, the rest does not."""
        self._accept()
        for client in list(self._clients.values()):
            self._attend(client, select.EPOLLIN)

    # -- connections -------------------------------------------------------------------------------

    def _accept(self) -> None:
        while len(self._clients) < CONNECTIONS_MAX:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # it left already, or this process has no descriptor for it
                self._events_left -= 1
                return
            self._events_left -= 1
            connection.settimeout(0)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = RequestReader(self._decide_body_max)
            self._clients[connection.fileno()] = _Client(connection, reader)
            self._epoll.register(connection, select.EPOLLIN)
        if self._is_listening:
            self._epoll.unregister(self._listener)
            self._is_listening = False

    def _drop(self, client: _Client) -> None:
        self._epoll.unregister(client.socket)
        del self._clients[client.socket.fileno()]
        client.socket.close()
        if not self._is_listening:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._is_listening = True

    def _attend(self, client: _Client, events: int) -> None:
        """Read, unless something has to be written first: who does not read is not read."""
        if client.unsent:
            self._write(client, b"")
        is_there = client.socket.fileno() in self._clients
        if is_there and not client.unsent and events & ~select.EPOLLOUT:
            self._read(client)

    def _read(self, client: _Client) -> None:
        for _ in range(_READS_MAX):
            try:
                received = client.socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                received = b""
            self._events_left -= 1
            self._bytes_left -= len(received)
            # Nothing may come while it waits for its call: the client hung up, or is none.
            if not received or client.waits:
                self._drop(client)
                return
            if not self._understand(client, received):
                return
            if len(received) < _READ_BYTES and not client.reader.is_in_request:
                return

    def _understand(self, client: _Client, received: bytes) -> bool:
        """Answer the requests that are complete; whether there is more to read."""
        try:
            requests = client.reader.feed(received)
        except HttpError as error:
            reply = Reply(400, str(error).encode(), "text/plain")
            client.closes = True
            self._write(client, encode_reply(reply, keeps_alive=False))
            return False
        if client.reader.wants_continue:
            client.reader.wants_continue = False
            self._write(client, _CONTINUE)
        for request in requests:
            # No client sends more before it has its answer.
            if client.waits or client.unsent:
                self._drop(client)
                return False
            self._serve(client, request)
            if client.socket.fileno() < 0:
                return False
        return not client.waits and not client.unsent

    def _serve(self, client: _Client, request: Request) -> None:
        self._events_left -= 1
        reply = self._api.handle(request)
        client.closes = not request.keeps_alive
        if reply is not None:
            self._write(client, encode_reply(reply, keeps_alive=request.keeps_alive))
        else:
            client.waits = True
            self._give_call(client)

    def _give_call(self, client: _Client) -> None:
        call = self._api.take_call()
        if call is not None:
            client.waits = False
            self._bytes_left -= len(call)  # it may be asked for again
            self._write(client, call)

    def _decide_body_max(self, method: str, target: str) -> int:
        """Bodies of several connections at once must not add up to more than two answers."""
        wanted = self._api.decide_body_max(method, target)
        promised = sum(client.reader.body_max for client in self._clients.values())
        return wanted if promised + wanted <= 2 * BODY_BYTES_MAX else 0

    def _write(self, client: _Client, message: bytes) -> None:
        """Send what can be sent now; the rest when there is room."""
        had_unsent = bool(client.unsent)
        rest: bytes | bytearray = message
        if had_unsent:
            client.unsent += message
            rest = client.unsent
        try:
            sent = client.socket.send(rest)
        except BlockingIOError:
            sent = 0
        except ConnectionError:
            self._drop(client)
            return
        client.unsent = bytearray(memoryview(rest)[sent:])
        if client.unsent:
            if not had_unsent:
                self._epoll.modify(client.socket, select.EPOLLOUT)
            return
        if had_unsent:
            self._epoll.modify(client.socket, select.EPOLLIN)
        if client.closes and not client.waits:
            self._drop(client)


def _open_process(pid: int) -> int:
    """A descriptor that is readable once the process has ended; negative if it has already."""
    with suppress(ProcessLookupError):
        return os.pidfd_open(pid)
    return -1
