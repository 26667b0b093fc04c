"""The contract of the message queue: on the fake, and on the adapter over a real SQS stand-in."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ingest.ports import MessageQueue
from ingest.queue import Message, Queue, Unserved
from ingest.queue_errors import (
    QueueDeniedError,
    QueueMissingError,
    QueueUnavailableError,
    name_error,
)
from shared.aws import make_client
from shared.settings import Settings
from tests.fakes.memory_queue import MemoryQueue

VISIBILITY_S = 2


@dataclass
class World:
    """A queue and the sender's side of it."""

    queue: MessageQueue
    send: Callable[..., object]
    pass_time: Callable[[float], None]
    dead: Callable[[], list[str]]  # bodies that the redrive policy put aside


MakeWorld = Callable[..., World]


def make_fake(*, fifo: bool = False, receives_max: int = 0) -> World:
    """In memory."""
    fake = MemoryQueue(VISIBILITY_S, is_fifo=fifo, receives_max=receives_max)
    return World(fake, fake.send, fake.pass_time, lambda: [one.body for one in fake.dead])


def create_queue(client: Any, *, fifo: bool, receives_max: int) -> tuple[str, str]:
    """The URLs of a queue and of its dead-letter queue."""
    ending, kind = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
    name = f"test-{uuid.uuid4().hex}"
    aside = client.create_queue(QueueName=f"{name}-dead{ending}", Attributes=kind)["QueueUrl"]
    if receives_max:
        answer = client.get_queue_attributes(QueueUrl=aside, AttributeNames=["QueueArn"])
        target = answer["Attributes"]["QueueArn"]
        policy = {"deadLetterTargetArn": target, "maxReceiveCount": receives_max}
        kind = {**kind, "RedrivePolicy": json.dumps(policy)}
    return client.create_queue(QueueName=name + ending, Attributes=kind)["QueueUrl"], aside


def make_real(client: Any, *, fifo: bool = False, receives_max: int = 0) -> World:
    """On the stand-in."""
    url, aside = create_queue(client, fifo=fifo, receives_max=receives_max)

    def send(body: str, group: str | None = None, deduplication: str | None = None) -> object:
        order = {}
        if fifo:
            given = deduplication or uuid.uuid4().hex
            order = {"MessageGroupId": group, "MessageDeduplicationId": given}
        return client.send_message(QueueUrl=url, MessageBody=body, **order)

    def dead() -> list[str]:
        found = client.receive_message(QueueUrl=aside, MaxNumberOfMessages=10)
        return [one["Body"] for one in found.get("Messages", ())]

    return World(Queue(client, url, VISIBILITY_S), send, time.sleep, dead)


@pytest.fixture(params=["memory", "sqs"])
def make_world(request: pytest.FixtureRequest) -> MakeWorld:
    """Each implementation in turn: standard or FIFO, with a redrive policy or none."""
    if request.param == "memory":
        return make_fake
    return partial(make_real, request.getfixturevalue("sqs"))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A standard queue."""
    return make_world()


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
    assert not world.queue.delete({one.message_id: one.receipt for one in messages})
    world.pass_time(VISIBILITY_S + 0.2)
    assert world.queue.receive(10, 0) == []


def test_extending(world: World) -> None:
    """What was extended stays away; what was not comes again, counted."""
    world.send("extended")
    world.send("left")
    received = {one.body: one for one in world.queue.receive(10, 0)}
    kept = received["extended"]

    assert not world.queue.extend({kept.message_id: kept.receipt}, 60)
    world.pass_time(VISIBILITY_S + 0.2)
    again = world.queue.receive(10, 0)
    assert [(one.body, one.receive_count) for one in again] == [("left", 2)]
    assert again[0].receipt != received["left"].receipt


def test_handing_back(world: World) -> None:
    """Extending by nothing makes a message visible at once."""
    world.send("body")
    (message,) = world.queue.receive(10, 0)

    assert not world.queue.extend({message.message_id: message.receipt}, 0)
    assert len(world.queue.receive(10, 1)) == 1


def test_one_refusal_in_a_batch(world: World) -> None:
    """A message that is gone is named; its neighbours are extended and deleted."""
    for number in range(3):
        world.send(f"body {number}")
    messages = world.queue.receive(10, 0)
    receipts = {one.message_id: one.receipt for one in messages}
    gone = messages[1]
    world.queue.delete({gone.message_id: gone.receipt})

    assert world.queue.extend(receipts, 30) == Unserved(refused=(gone.message_id,))
    world.queue.delete(receipts)
    world.pass_time(VISIBILITY_S + 0.2)
    assert world.queue.receive(10, 0) == []


def test_nothing_to_do(world: World) -> None:
    """Empty batches are no calls."""
    assert not world.queue.delete({})
    assert not world.queue.extend({}, 30)


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

    with pytest.raises(QueueMissingError, match="create it, or mend SQS_QUEUE_URL"):
        queue.receive(1, 0)


def test_a_queue_that_denies_is_told_apart() -> None:
    """A missing right is somebody's work, so it has a name of its own in health and metrics."""
    answers = {
        "AccessDenied": QueueDeniedError,
        "AWS.SimpleQueueService.NonExistentQueue": QueueMissingError,
        "KMS.DisabledException": QueueDeniedError,
        "ThrottlingException": QueueUnavailableError,
    }
    for code, kind in answers.items():
        error = name_error(ClientError({"Error": {"Code": code}}, "ReceiveMessage"), "url")
        assert type(error) is kind
    assert {kind.dependency for kind in answers.values()} == {"sqs", "sqs_queue", "sqs_permission"}


def test_the_twelve_hours(world: World) -> None:
    """What would be kept longer than 12 hours after its receiving is refused."""
    world.send("one")
    world.send("two")
    first, second = world.queue.receive(10, 0)
    world.pass_time(1.1)
    receipts = {one.message_id: one.receipt for one in (first, second)}
    world.queue.delete({second.message_id: second.receipt})

    assert set(world.queue.extend(receipts, 43_200).refused) == set(receipts)
    assert world.queue.extend(receipts, 43_190) == Unserved(refused=(second.message_id,))


def test_a_group_is_blocked_while_a_message_of_it_is_in_flight(make_world: MakeWorld) -> None:
    """Groups do not wait for each other; a deleted message lets the next one of its group out."""
    world = make_world(fifo=True)
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        world.send(body, group)
    (first,) = world.queue.receive(1, 0)
    (other,) = world.queue.receive(10, 0)

    assert [(one.body, one.group) for one in (first, other)] == [("a1", "a"), ("b1", "b")]
    assert world.queue.receive(10, 0) == []
    world.queue.delete({first.message_id: first.receipt})
    assert [one.body for one in world.queue.receive(10, 0)] == ["a2"]


def test_one_batch_may_hold_several_of_a_group(make_world: MakeWorld) -> None:
    """In the order they were sent."""
    world = make_world(fifo=True)
    for number in range(4):
        world.send(f"a{number}", "a")

    assert [one.body for one in world.queue.receive(3, 0)] == ["a0", "a1", "a2"]
    assert world.queue.receive(10, 0) == []


def test_a_known_deduplication_id_is_not_delivered_again(make_world: MakeWorld) -> None:
    """SQS takes the second for the first."""
    world = make_world(fifo=True)
    for body in ("first", "again"):
        world.send(body, "a", "the same")

    assert [one.body for one in world.queue.receive(10, 0)] == ["first"]


def test_a_standard_queue_has_no_groups(world: World) -> None:
    """There nothing is in order, whatever a sender says."""
    world.send("body")

    assert [one.group for one in world.queue.receive(1, 0)] == [None]


def test_a_message_over_its_receives_is_put_aside(make_world: MakeWorld) -> None:
    """At the receive after the last allowed one; what was extended is not."""
    world = make_world(receives_max=1)
    world.send("left alone")
    world.send("extended")
    received: list[Message] = world.queue.receive(10, 0)
    kept = next(one for one in received if one.body == "extended")
    world.queue.extend({kept.message_id: kept.receipt}, 60)
    world.pass_time(VISIBILITY_S + 0.2)

    assert world.queue.receive(10, 0) == []
    assert world.dead() == ["left alone"]


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

    assert not Queue(client, "url", VISIBILITY_S).delete({"a": "1", "b": "2", "c": "3"})
    assert client.deleted == ["2", "3", "1"]


def test_lasting_failures_are_named() -> None:
    """What SQS fails for long is named; the neighbours are deleted."""
    client = OverloadedSqs(failures=9)

    unserved = Queue(client, "url", VISIBILITY_S).delete({"a": "1", "b": "2"})

    assert unserved == Unserved(failed=("a",))
    assert client.deleted == ["2"]
