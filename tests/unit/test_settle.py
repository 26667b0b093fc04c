"""Messages are deleted after their result is published, whatever dies or is away when."""

from dataclasses import replace

import pytest

from ingest.leases import Leases
from ingest.queue_errors import QueueUnavailableError
from ingest.settle import Settler, read_request_of
from ingest.take import Taker, make_desk
from shared.codec import encode
from shared.events import DeadLettered, InvocationRejected, Outcome, ResultPublished, S3Object
from shared.inbox import LogUnavailableError
from shared.log import Accepted
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS, Stream
from tests.fakes.memory_inbox import MemoryInbox, MemoryStreams
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_queue import MemoryQueue


def request(number: int) -> InvocationRejected:
    return InvocationRejected(
        event_id=f"e-{number}",
        invocation_id=f"req-{number}",
        causation_id="c",
        occurred_at_ms=0,
        function_id="f",
        field="memoryMb",
        reason="wrong",
    )


def publication(number: int) -> bytes:
    return encode(
        ResultPublished(
            event_id=f"p-{number}",
            invocation_id=f"req-{number}",
            causation_id="c",
            occurred_at_ms=0,
            function_id="f",
            outcome=Outcome.SUCCEEDED,
            document=S3Object(bucket="b", key="k"),
            document_bytes=1,
        )
    )


class World:
    """Requests in flight and a settler."""

    def __init__(self, count: int) -> None:
        self.streams = MemoryStreams()
        self.log = MemoryLog(self.streams)
        self.queue = MemoryQueue()
        self.leases = Leases(30)
        self.settler = self.make_settler("first")
        for number in range(count):
            self.queue.send("body")
            (message,) = self.queue.receive(1, 0)
            self.leases.add(message.message_id, message.receipt, 0)
            self.log.accept(request(number), message_id=message.message_id, receipt=message.receipt)

    def make_settler(self, consumer: str, stream: Stream = PUBLICATIONS) -> Settler:
        inbox = MemoryInbox(self.streams, stream, consumer, claim_idle_ms=0)
        return Settler(inbox, self.queue, self.log, self.leases, Settings())

    def publish(self, payload: bytes) -> None:
        self.streams.append("publications", 0, payload)

    def pending(self) -> int:
        return len(self.streams.pending[PUBLICATIONS.name, 0])


def test_only_what_is_published_is_deleted() -> None:
    """A published result settles its message; the others stay."""
    world = World(12)
    for number in range(11):
        world.publish(publication(number))

    assert world.settler.run_once(0) == 11
    world.settler.inbox.flush()
    assert list(world.queue.messages) == ["message-12"]
    assert len(world.leases) == 1
    assert world.pending() == 0
    assert world.log.accept(request(3), message_id="m", receipt="r") is Accepted.SETTLED
    assert world.log.accept(request(11), message_id="m", receipt="r") is Accepted.IN_FLIGHT


def test_an_absent_queue_loses_nothing() -> None:
    """SQS away: nothing is acknowledged nor marked; back: all is settled once."""
    world = World(2)
    world.publish(publication(0))
    world.publish(publication(1))
    world.queue.available = False
    for _ in range(3):
        with pytest.raises(QueueUnavailableError):
            world.settler.run_once(0)
    world.settler.inbox.flush()
    assert world.pending() == 2
    assert world.log.settled == set()
    world.queue.available = True

    assert world.settler.run_once(0) == 2
    world.settler.inbox.flush()
    assert world.queue.messages == {}
    assert world.pending() == 0


def test_an_absent_log_loses_nothing() -> None:
    """Redis away: the delivery stays in hand."""
    world = World(1)
    world.publish(publication(0))
    world.log.available = False
    with pytest.raises(LogUnavailableError):
        world.settler.run_once(0)
    world.log.available = True

    assert world.settler.run_once(0) == 1
    assert world.queue.messages == {}


def test_a_death_between_delete_and_commit_is_repeated() -> None:
    """Another process settles again what the dead one did not acknowledge; nothing changes."""
    world = World(1)
    world.publish(publication(0))
    world.settler.run_once(0)  # and dies before its commit goes out
    second = world.make_settler("second")

    assert second.run_once(0) == 1
    second.inbox.flush()
    assert world.pending() == 0
    assert world.queue.messages == {}


def test_strange_entries_are_buried() -> None:
    """What is no publication goes to the dead stream and holds nothing up."""
    world = World(1)
    world.publish(b"not an event")
    world.publish(encode(request(5)))
    world.publish(publication(0))

    assert world.settler.run_once(0) == 1
    world.settler.inbox.flush()
    assert len(world.streams.entries["dead", 0]) == 2
    assert world.queue.messages == {}


def letter(payload: bytes, invocation_id: str) -> bytes:
    return encode(
        DeadLettered(
            event_id="e",
            invocation_id=invocation_id,
            causation_id="c",
            occurred_at_ms=0,
            stage="executor",
            stream="requests",
            entry_id="1-1",
            attempts=6,
            reason="6 attempts ended without a commit",
            payload=payload,
        )
    )


def test_a_buried_request_is_settled() -> None:
    """It ends in the dead stream: its message is not extended for ever, nor delivered again."""
    world = World(2)
    world.streams.append("dead", 0, letter(encode(request(1)), "req-1"))
    settler = world.make_settler("first", DEAD)

    assert settler.run_once(0) == 1
    assert list(world.queue.messages) == ["message-1"]
    assert world.log.accept(request(1), message_id="m", receipt="r") is Accepted.SETTLED


def test_what_is_dead_and_unknown_stays_there() -> None:
    """It is acknowledged, not buried a second time."""
    world = World(1)
    world.streams.append("dead", 0, letter(b"not an event", ""))
    world.streams.append("dead", 0, b"not even a letter")
    settler = world.make_settler("first", DEAD)

    assert settler.run_once(0) == 0
    settler.inbox.flush()
    assert len(world.streams.entries["dead", 0]) == 2
    assert world.streams.pending["dead", 0] == {}
    assert len(world.queue.messages) == 1


def test_the_function_of_a_buried_request() -> None:
    """It names the partition that remembers the messages; cut bytes name it too."""
    payload = encode(request(1))

    assert read_request_of(letter(payload, "req-1")) == ("req-1", "f")
    assert read_request_of(letter(payload[:-20], "req-1")) == ("req-1", "f")
    assert read_request_of(letter(b"?", "req-1")) == ("req-1", "")


def test_one_message_that_cannot_be_deleted_holds_up_nobody() -> None:
    """SQS fails it on its own side: the others are settled, and what comes later too."""
    world = World(3)
    world.queue.failing = {"message-2"}
    for number in (0, 1):
        world.publish(publication(number))

    with pytest.raises(QueueUnavailableError):
        world.settler.run_once(0)
    world.publish(publication(2))
    with pytest.raises(QueueUnavailableError):
        world.settler.run_once(0)

    world.settler.inbox.flush()
    assert list(world.queue.messages) == ["message-2"]
    assert (world.pending(), world.log.settled) == (1, {"req-0", "req-2"})
    world.queue.failing = set()
    assert world.settler.run_once(0) == 1
    assert world.queue.messages == {}


def test_a_newer_receipt_is_used() -> None:
    """The message was delivered again while its result was on its way: the old receipt is refused,
    the one that this process was given since deletes it.
    """
    world = World(1)
    world.publish(publication(0))
    world.queue.pass_time(31)
    (again,) = world.queue.receive(10, 0)
    world.leases.add(again.message_id, again.receipt, 31)

    assert world.settler.run_once(0) == 1
    assert world.queue.messages == {}
    assert len(world.leases) == 0


def test_deleting_with_an_old_receipt_is_repeated_at_the_next_delivery() -> None:
    """Another process was given the newer one: it finds the request settled, and deletes."""
    world = World(1)
    world.publish(publication(0))
    world.queue.pass_time(31)
    (again,) = world.queue.receive(10, 0)

    assert world.settler.run_once(0) == 1
    assert list(world.queue.messages) == [again.message_id]
    taker = Taker(make_desk(world.queue, world.log, Leases(30), Settings()))
    world.log.settle([(again.message_id, "")], 60)  # its body names no request id
    taker.desk.room.take(1, lambda: 0)
    body = '{"functionId": "f", "runtime": "go", "s3Key": "k"}'
    taker.put([replace(again, body=body)])
    taker.run_once()
    assert world.queue.messages == {}
