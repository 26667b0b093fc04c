"""The contract of the message queue: on the fake, and on the adapter over a real SQS stand-in."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ingest.ports import MessageQueue
from ingest.queue import Queue, QueueUnavailableError
from shared.aws import make_client
from shared.settings import Settings
from tests.fakes.memory_queue import MemoryQueue

VISIBILITY_S = 2


@dataclass
class World:
    """A queue and the sender's side of it."""

    queue: MessageQueue
    send: Callable[[str], object]
    pass_time: Callable[[float], None]


@pytest.fixture(params=["memory", "sqs"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each implementation in turn."""
    if request.param == "memory":
        fake = MemoryQueue(VISIBILITY_S)
        yield World(fake, fake.send, fake.pass_time)
        return
    client: Any = request.getfixturevalue("sqs")
    url: str = request.getfixturevalue("queue_url")

    def send(body: str) -> object:
        return client.send_message(QueueUrl=url, MessageBody=body)

    yield World(Queue(client, url, VISIBILITY_S), send, time.sleep)


def test_what_is_received(world: World) -> None:
    """Body, id and receive count come with the message; it is invisible then."""
    world.send('{"a": "\u00e9"}')

    (message,) = world.queue.receive(10, 0)
    assert message.body == '{"a": "\u00e9"}'
    assert message.receive_count == 1
    assert world.queue.receive(10, 0) == []


def test_at_most_ten(world: World) -> None:
    """More than SQS gives at once is no mistake, and fewer are fewer."""
    for number in range(14):
        world.send(f"body {number}")

    assert len(world.queue.receive(3, 0)) == 3
    assert len(world.queue.receive(100, 0)) == 10
    assert len(world.queue.receive(100, 0)) == 1


def test_deleting_more_than_a_batch(world: World) -> None:
    """Any number is deleted and never delivered again."""
    for number in range(14):
        world.send(f"body {number}")
    messages = world.queue.receive(10, 0) + world.queue.receive(10, 0)

    assert len(messages) == 14
    assert world.queue.delete({one.message_id: one.receipt for one in messages}) == []
    world.pass_time(VISIBILITY_S + 0.2)
    assert world.queue.receive(10, 0) == []


def test_extending(world: World) -> None:
    """What was extended stays away; what was not comes again, counted."""
    world.send("extended")
    world.send("left")
    received = {one.body: one for one in world.queue.receive(10, 0)}
    kept = received["extended"]

    assert world.queue.extend({kept.message_id: kept.receipt}, 60) == []
    world.pass_time(VISIBILITY_S + 0.2)
    again = world.queue.receive(10, 0)
    assert [(one.body, one.receive_count) for one in again] == [("left", 2)]
    assert again[0].receipt != received["left"].receipt


def test_handing_back(world: World) -> None:
    """Extending by nothing makes a message visible at once."""
    world.send("body")
    (message,) = world.queue.receive(10, 0)

    assert world.queue.extend({message.message_id: message.receipt}, 0) == []
    assert len(world.queue.receive(10, 1)) == 1


def test_one_refusal_in_a_batch(world: World) -> None:
    """A message that is gone is named; its neighbours are extended and deleted."""
    for number in range(3):
        world.send(f"body {number}")
    messages = world.queue.receive(10, 0)
    receipts = {one.message_id: one.receipt for one in messages}
    gone = messages[1]
    world.queue.delete({gone.message_id: gone.receipt})

    assert world.queue.extend(receipts, 30) == [gone.message_id]
    world.queue.delete(receipts)
    world.pass_time(VISIBILITY_S + 0.2)
    assert world.queue.receive(10, 0) == []


def test_nothing_to_do(world: World) -> None:
    """Empty batches are no calls."""
    assert world.queue.delete({}) == []
    assert world.queue.extend({}, 30) == []


@pytest.mark.parametrize("call", ["receive", "delete", "extend"])
def test_an_absent_sqs_is_one_error(call: str) -> None:
    """No answer is the one typed error that stages wait on."""
    settings = Settings(local_aws_port=9)  # the discard port: nobody listens
    client = make_client(settings, "sqs")
    queue = Queue(client, settings.queue_url, VISIBILITY_S)
    calls: dict[str, Callable[[], object]] = {
        "receive": lambda: queue.receive(1, 0),
        "delete": lambda: queue.delete({"m": "r"}),
        "extend": lambda: queue.extend({"m": "r"}, 1),
    }
    with pytest.raises(QueueUnavailableError):
        calls[call]()
    client.close()


def test_a_missing_queue_is_the_same_error(sqs: Any, aws_settings: Settings) -> None:
    """A queue that is not there yet may come: it is waited for."""
    queue = Queue(sqs, aws_settings.queue_url + "-missing", VISIBILITY_S)

    with pytest.raises(QueueUnavailableError):
        queue.receive(1, 0)


class OverloadedSqs:
    """An SQS whose deletes fail on its own side for a while, message by message."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.deleted: list[str] = []

    def delete_message_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803
        Entries: list[dict[str, str]],  # noqa: N803 - SQS's names
    ) -> dict[str, list[dict[str, object]]]:
        """Fail the first message while there are failures left."""
        assert QueueUrl
        failed = Entries[:1] if self.failures > 0 else []
        self.failures -= 1
        self.deleted += [one["ReceiptHandle"] for one in Entries[len(failed) :]]
        return {"Failed": [{"Id": one["Id"], "SenderFault": False} for one in failed]}


def test_partial_failures_are_tried_again() -> None:
    """Only the message that SQS failed is sent again."""
    client = OverloadedSqs(failures=2)

    assert Queue(client, "url", VISIBILITY_S).delete({"a": "1", "b": "2", "c": "3"}) == []
    assert client.deleted == ["2", "3", "1"]


def test_lasting_failures_are_raised() -> None:
    """SQS failing for long is SQS not being there."""
    with pytest.raises(QueueUnavailableError):
        Queue(OverloadedSqs(failures=9), "url", VISIBILITY_S).delete({"a": "1"})
