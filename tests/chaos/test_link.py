"""The links do what their weather says: else a run would prove nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import make_client
from shared.settings import Settings
from tests.chaos.link import Link
from tests.chaos.moods import FAIR, MADE_UP, Mood, Weather
from tests.chaos.plan import Means, draw_plan


@pytest.fixture
def link() -> Iterator[Link]:
    """A link in front of a server that answers everything with the same bytes in capitals."""
    server = socket.create_server(("127.0.0.1", 0))
    made = Link(server.getsockname()[1])
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    yield made
    made.close()
    server.close()


def serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):  # what the link breaks is broken here too
        while piece := connection.recv(100):
            connection.sendall(piece.upper())


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=1)


def ask(connection: socket.socket) -> bytes:
    connection.sendall(b"abcd")
    return connection.recv(100)


def ask_again(connection: socket.socket) -> None:
    """Until it breaks."""
    while ask(connection):
        pass


def test_fair_weather_passes_all(link: Link) -> None:
    """What is sent arrives, both ways."""
    with connect(link) as connection:
        assert b"ABCD" == ask(connection)


@pytest.mark.parametrize("mood", [Mood.REFUSE, Mood.RESET, Mood.FORGET])
def test_an_open_connection_breaks(link: Link, mood: Mood) -> None:
    """The peer's end is told at once, and the connection serves no more."""
    with connect(link) as connection:
        ask(connection)
        link.set_weather(Weather(mood))

        with pytest.raises(ConnectionResetError):
            ask_again(connection)


def test_a_peer_that_is_gone_is_silent(link: Link) -> None:
    """The old connection is neither answered nor closed; a new one works when it is over."""
    with connect(link) as connection:
        ask(connection)
        link.set_weather(Weather(Mood.DEAF))
        time.sleep(0.1)
        link.set_weather(FAIR)

        with pytest.raises(TimeoutError):
            ask(connection)
    with connect(link) as connection:
        assert b"ABCD" == ask(connection)


def test_a_stall_delays_and_loses_nothing(link: Link) -> None:
    """What was held up arrives when it is over."""
    with connect(link) as connection:
        link.set_weather(Weather(Mood.STALL))
        connection.sendall(b"abcd")
        time.sleep(0.1)
        link.set_weather(FAIR)

        assert b"ABCD" == connection.recv(100)


@pytest.mark.parametrize("service", ["sqs", "s3"])
@pytest.mark.parametrize("mood", MADE_UP)
def test_answers_are_made_up(mood: Mood, service: str) -> None:
    """An AWS client reads them as failures of the service."""
    link = Link(1, http=True)
    link.set_weather(Weather(mood, service=service))
    client = make_client(Settings(local_aws_port=link.port), service)

    call = client.list_queues if service == "sqs" else client.list_buckets

    with pytest.raises((BotoCoreError, ClientError)):
        call()

    assert link.struck > 0
    client.close()
    link.close()


def test_a_plan_is_told_by_its_seed() -> None:
    """The same seed draws the same faults, another one others; as many kills as asked for."""
    means = Means(disk=True, clock=True)

    assert draw_plan(1, 50, 10, means) == draw_plan(1, 50, 10, means)
    assert draw_plan(1, 50, 10, means) != draw_plan(2, 50, 10, means)
    assert 50 == sum(fault.kind == "kill" for fault in draw_plan(1, 50, 10, means))
