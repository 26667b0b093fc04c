"""Messages in: what the log takes, what is deleted at once, what waits."""

import json
import threading
import time

import pytest

from ingest.leases import Leases
from ingest.queue_errors import QueueUnavailableError
from ingest.receive import Receiver
from ingest.take import Taker, make_desk
from shared.codec import decode
from shared.events import DeadLettered, InvocationRejected, InvocationRequested
from shared.inbox import LogUnavailableError
from shared.settings import Settings
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_queue import MemoryQueue

STOP = threading.Event()


def body(request_id: str = "req-1", **fields: object) -> str:
    least = {"requestId": request_id, "functionId": "f", "runtime": "go", "s3Key": "k"}
    return json.dumps({**least, **fields})


class World:
    """A receiver between a queue and a log."""

    def __init__(self, backlog_max: int = 256) -> None:
        self.queue = MemoryQueue()
        self.log = MemoryLog()
        self.leases = Leases(30)
        settings = Settings(backlog_max=backlog_max)
        self.desk = make_desk(self.queue, self.log, self.leases, settings)
        self.taker = Taker(self.desk)
        self.receiver = Receiver(self.taker)

    def run_once(self) -> int:
        return self.receiver.run_once(STOP)

    def receive_without_taking(self) -> None:
        """As if the log had gone right after SQS had answered."""
        messages = self.queue.receive(10, 0)
        assert self.desk.room.take(len(messages), lambda: 0) == len(messages)
        self.taker.put(messages)

    def events(self, stream: str) -> list[object]:
        entries = self.log.streams.entries.get((stream, 0), [])
        return [decode(payload) for _, payload in entries]


def test_a_message_becomes_a_request() -> None:
    """It is appended, its receipt remembered, its lease held, the message kept in SQS."""
    world = World()
    message_id = world.queue.send(body())

    assert world.run_once() == 1
    (event,) = world.events("requests")
    assert isinstance(event, InvocationRequested)
    assert world.log.messages_of([("req-1", "f")]) == [{message_id: f"{message_id}/1"}]
    assert len(world.leases) == 1
    assert message_id in world.queue.messages


def test_a_bad_message_becomes_a_rejection() -> None:
    """It gets a result as any other, and is settled when that is published."""
    world = World()
    world.queue.send(body(memoryMb=1))

    assert world.run_once() == 1
    (event,) = world.events("requests")
    assert isinstance(event, InvocationRejected)
    assert len(world.queue.messages) == 1


def test_an_unusable_message_never_blocks_the_queue() -> None:
    """It is buried with its bytes and deleted; the messages behind it go on."""
    world = World()
    world.queue.send("\ud800 not JSON")
    world.queue.send(body())

    assert world.run_once() == 2
    (letter,) = world.events("dead")
    assert isinstance(letter, DeadLettered)
    assert letter.payload == "\ud800 not JSON".encode(errors="surrogatepass")
    assert len(world.events("requests")) == 1
    assert list(world.queue.messages) == ["message-2"]
    assert len(world.leases) == 1


def test_a_duplicate_runs_once() -> None:
    """The same request id twice is one request with two messages."""
    world = World()
    world.queue.send(body())
    world.queue.send(body())

    assert world.run_once() == 2
    assert len(world.events("requests")) == 1
    assert len(world.log.messages["req-1"]) == 2
    assert len(world.queue.messages) == 2


def test_a_settled_duplicate_is_deleted_at_once() -> None:
    """Its result exists already."""
    world = World()
    world.log.settle([("req-1", "f")], 60)
    world.queue.send(body())

    assert world.run_once() == 1
    assert world.queue.messages == {}
    assert world.events("requests") == []
    assert len(world.leases) == 0


def test_a_full_log_receives_nothing() -> None:
    """The receive count of what waits does not rise."""
    world = World(backlog_max=3)
    for number in range(5):
        world.queue.send(body(f"req-{number}"))

    counts = [world.run_once() for _ in range(4)]

    assert counts == [3, 0, 0, 0]
    assert [one.receive_count for one in world.queue.messages.values()] == [1, 1, 1, 0, 0]


def test_an_absent_log_costs_no_receive_count() -> None:
    """What was received before stays in hand and is appended once when the log is back."""
    world = World()
    world.queue.send(body("req-1"))
    world.queue.send(body("req-2"))
    world.receive_without_taking()
    world.log.available = False
    for _ in range(3):
        with pytest.raises(LogUnavailableError):
            world.run_once()
    world.log.available = True

    assert world.run_once() == 2
    assert len(world.events("requests")) == 2
    assert [one.receive_count for one in world.queue.messages.values()] == [1, 1]


def test_an_absent_queue_buries_once() -> None:
    """SQS away between burying and deleting: deleted later, not buried again."""
    world = World()
    world.queue.send("not JSON")
    world.receive_without_taking()
    world.queue.available = False
    for _ in range(3):
        with pytest.raises(QueueUnavailableError):
            world.run_once()
    world.queue.available = True
    world.run_once()

    assert len(world.events("dead")) == 1
    assert world.queue.messages == {}


def test_handing_back() -> None:
    """What the log did not take is visible to others at once."""
    world = World()
    world.queue.send(body())
    world.receive_without_taking()

    world.receiver.hand_back()

    assert len(world.queue.receive(10, 0)) == 1
    assert len(world.leases) == 0


def test_what_sqs_cannot_delete_holds_up_nobody() -> None:
    """It keeps its lease and is tried again; the receiver goes on."""
    world = World()
    bad = world.queue.send("not JSON")
    world.queue.failing = {bad}
    with pytest.raises(QueueUnavailableError):
        world.run_once()
    world.queue.send(body())
    with pytest.raises(QueueUnavailableError):
        world.run_once()

    assert len(world.events("requests")) == 1
    assert len(world.events("dead")) == 1
    world.queue.failing = set()
    world.run_once()
    assert bad not in world.queue.messages


def test_nothing_is_received_while_leases_run_out() -> None:
    """SQS takes no extensions: whatever was received now would come again, counted."""
    world = World()
    world.queue.send(body())
    world.leases.add("other", "receipt", time.monotonic() - 31)

    assert world.run_once() == 0
    assert [one.receive_count for one in world.queue.messages.values()] == [0]
    world.leases.drop(["other"])
    assert world.run_once() == 1
