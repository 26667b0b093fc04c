"""The Runtime API on real sockets, with clients that misbehave; the sandbox is a sleeping child."""

import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from executor.frames import ANSWER, READY, Frame, FrameError, encode
from executor.runtime_api_channel import CONNECTIONS_MAX, RuntimeApiChannel

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
INIT = {
    "handler": "bootstrap",
    "function_id": "f",
    "memory_mb": 128,
    "env": {},
    "sandbox_id": "s",
    "region": "us-east-1",
}
CALL = {"id": "r", "deadline_ms": 1, "attempt": 1}


def answer(body: bytes, request_id: str = "r") -> bytes:
    path = f"/2018-06-01/runtime/invocation/{request_id}/response"
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Inside:
    """A channel, and the other ends of what it holds."""

    channel: RuntimeApiChannel
    launcher: socket.socket
    address: tuple[str, int]
    process: subprocess.Popen[bytes]

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address, timeout=5)
        self.clients.append(client)
        return client

    def __post_init__(self) -> None:
        self.clients: list[socket.socket] = []

    def pump(self, count: int = 1, seconds: float = 5) -> list[Frame]:
        """What the executor's loop does, until so many frames have come."""
        frames: list[Frame] = []
        deadline = time.monotonic() + seconds
        while len(frames) < count and time.monotonic() < deadline:
            if select.select([self.channel.fileno()], [], [], 0.05)[0]:
                frames += self.channel.receive() or []
        return frames

    def ready(self) -> socket.socket:
        """A client that waits for a call."""
        client = self.connect()
        client.sendall(NEXT)
        assert [Frame(READY, {})] == self.pump()
        return client

    def called(self) -> socket.socket:
        """A client that was given a call."""
        client = self.ready()
        self.channel.send(self.channel.encode_call(CALL, b"{}"))
        assert client.recv(4096).endswith(b"\r\n\r\n{}")
        return client


@pytest.fixture
def inside() -> Iterator[Inside]:
    launcher, control = socket.socketpair()
    control.settimeout(0)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    process = subprocess.Popen(["sleep", "60"])
    channel = RuntimeApiChannel(control, listener, process.pid)
    channel.send(channel.encode_init(INIT))
    inside = Inside(channel, launcher, listener.getsockname(), process)
    yield inside
    process.kill()
    process.wait()
    channel.close()
    for one in (launcher, control, listener, *inside.clients):
        one.close()


def test_a_call(inside: Inside) -> None:
    """The launcher is told the environment; then READY, the call, ANSWER, and READY again."""
    assert b"_HANDLER=bootstrap\0" in inside.launcher.recv(65_536)
    client = inside.called()
    client.sendall(answer(b'"out"') + NEXT)

    assert [Frame(ANSWER, {"id": "r"}, b'"out"'), Frame(READY, {})] == inside.pump(2)
    assert client.recv(4096).startswith(b"HTTP/1.1 202 Accepted\r\n")


def test_a_launcher_that_fails(inside: Inside) -> None:
    """What it says over its own connection fails the init."""
    failure = {"type": "Runtime.InvalidEntrypoint", "message": "no"}
    inside.launcher.sendall(encode(READY, {"failure": failure}))
    inside.launcher.close()

    assert [Frame(READY, {"failure": failure})] == inside.pump()


def test_leave_to_continue(inside: Inside) -> None:
    """Clients that ask before they send a large body are told to go on."""
    client = inside.called()
    head, body = answer(b"123").split(b"\r\n\r\n")
    client.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert [] == inside.pump(seconds=0.1)
    assert b"HTTP/1.1 100 Continue\r\n\r\n" == client.recv(4096)
    client.sendall(body)

    assert [Frame(ANSWER, {"id": "r"}, b"123")] == inside.pump()


def test_a_large_event_to_a_slow_reader(inside: Inside) -> None:
    """It is sent as the client reads, without holding anybody up."""
    client = inside.ready()
    event = b'"' + b"x" * 6_000_000 + b'"'
    began = time.monotonic()
    inside.channel.send(inside.channel.encode_call(CALL, event))
    took = time.monotonic() - began
    received = b""
    while not received.endswith(event[-100:]) or len(received) < len(event):
        inside.pump(seconds=0.01)
        received += client.recv(1 << 20)
    client.sendall(answer(b"1"))

    assert took < 1
    assert received.endswith(event)
    assert [Frame(ANSWER, {"id": "r"}, b"1")] == inside.pump()


def test_a_client_that_asks_again(inside: Inside) -> None:
    """It hung up in /next, while idle or during the call; the call reaches its next connection."""
    inside.ready().close()
    inside.pump(seconds=0.1)
    inside.channel.send(inside.channel.encode_call(CALL, b"{}"))
    for _ in range(2):
        client = inside.connect()
        client.sendall(NEXT)
        inside.pump(seconds=0.1)
        assert b"Lambda-Runtime-Aws-Request-Id: r\r\n" in client.recv(4096)
    client.sendall(answer(b"1"))

    assert [Frame(ANSWER, {"id": "r"}, b"1")] == inside.pump()


def test_connections_are_bounded(inside: Inside) -> None:
    """The rest wait to be let in, and are, once others leave."""
    idle = [inside.connect() for _ in range(2 * CONNECTIONS_MAX)]
    inside.pump(seconds=0.2)
    late = inside.connect()
    late.sendall(NEXT)
    assert [] == inside.pump(seconds=0.2)
    for client in idle:
        client.close()

    assert [Frame(READY, {})] == inside.pump()


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /2018-06-01/ping HTTP/1.1\r\n\r\n",
        b"POST /elsewhere HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        answer(b"x" * 1_000_000, "other"),
        answer(b"x" * 7_000_000, "other"),
    ],
    ids=["requests", "bodies", "answers", "large answers"],
)
def test_floods_end(inside: Inside, flood: bytes) -> None:
    """Whoever sends without end is not believed any more; what is kept of it stays small."""
    client = inside.called()
    client.settimeout(0)
    with pytest.raises(FrameError, match="flood"):  # noqa: PT012 - many steps lead to it
        deadline = time.monotonic() + 30
        unsent = memoryview(flood)
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                unsent = unsent[client.send(unsent) :] or memoryview(flood)
            with suppress(BlockingIOError):
                client.recv(1 << 16)
            inside.channel.receive()


def test_the_same_event_without_end(inside: Inside) -> None:
    """A large event that is asked for again and again is a flood as well."""
    client = inside.ready()
    inside.channel.send(inside.channel.encode_call(CALL, b'"' + b"x" * 6_000_000 + b'"'))
    client.settimeout(0)
    with pytest.raises(FrameError, match="flood"):  # noqa: PT012 - many steps lead to it
        for _ in range(20):
            received = 0
            while received < 6_000_000:
                inside.channel.receive()
                with suppress(BlockingIOError):
                    received += len(client.recv(1 << 20))
            client.sendall(NEXT)


@pytest.mark.parametrize("wrong", [b"\x00\x01\x02", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_client(inside: Inside, wrong: bytes) -> None:
    """It loses its connection; the call goes on with another one."""
    inside.called()
    odd = inside.connect()
    odd.sendall(wrong)
    inside.pump(seconds=0.1)
    with suppress(ConnectionError):
        while odd.recv(4096):
            pass
    good = inside.connect()
    good.sendall(answer(b"1"))

    assert [Frame(ANSWER, {"id": "r"}, b"1")] == inside.pump()


def test_more_while_it_waits(inside: Inside) -> None:
    """Who asks for more before it has its call loses its connection, and the call waits."""
    odd = inside.connect()
    odd.sendall(NEXT + NEXT)
    assert [Frame(READY, {})] == inside.pump()
    assert b"" == odd.recv(4096)
    inside.channel.send(inside.channel.encode_call(CALL, b"{}"))
    good = inside.connect()
    good.sendall(NEXT)
    inside.pump(seconds=0.1)

    assert good.recv(4096).endswith(b"{}")


def test_last_words(inside: Inside) -> None:
    """An answer that was sent before the process ended counts; then it is gone."""
    client = inside.called()
    client.sendall(answer(b"1"))
    inside.process.kill()
    inside.process.wait()

    assert [Frame(ANSWER, {"id": "r"}, b"1")] == inside.pump()
    assert inside.channel.receive() is None


def test_half_an_answer(inside: Inside) -> None:
    """It is none."""
    client = inside.called()
    client.sendall(answer(b"123")[:-1])
    inside.process.kill()
    inside.process.wait()

    assert [] == inside.pump(seconds=0.1)
    assert inside.channel.receive() is None
