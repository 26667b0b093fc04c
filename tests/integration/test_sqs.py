"""Ingest as it runs, on a real queue: FIFO groups, a full system, a queue that vanishes."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from msgspec import structs

import ingest.process
from ingest.keep import Keeper
from ingest.leases import Leases
from ingest.process import Ingest, run_parts
from ingest.queue import Message, Queue
from ingest.receive import Receiver
from ingest.settle import Settler
from ingest.take import Taker, make_desk
from shared import metrics_text
from shared.codec import decode
from shared.events import InvocationRequested
from shared.inbox import Delivery
from shared.log import Log
from shared.metrics_server import read_health
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS, REQUESTS
from tests.contract.test_queue import create_queue
from tests.fixtures_redis import RedisServer
from tests.integration.test_edges import left_in, publication_of, running, wait_until


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a queue named, clients look for credentials as usual."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.fixture
def settings(aws_settings: Settings, redis_server: RedisServer) -> Settings:
    """Without a queue: each test makes its own."""
    return structs.replace(
        aws_settings, redis_url=redis_server.url, aws_endpoint_url=str(aws_settings.aws_endpoint)
    )


def body(request_id: str) -> str:
    fields = {"requestId": request_id, "functionId": "f", "runtime": "go", "s3Key": "k"}
    return json.dumps(fields)


@dataclass
class Executor:
    """Takes requests as an executor does, and publishes what the test says."""

    settings: Settings
    taken: list[str] = field(default_factory=list)
    open: dict[str, Delivery] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inbox = RedisInbox(self.settings, REQUESTS, "executor")

    def take(self) -> None:
        """Whatever is there."""
        for delivery in self.inbox.receive(100, 50):
            event = decode(delivery.payload)
            assert isinstance(event, InvocationRequested)
            self.taken.append(event.invocation_id)
            self.open[event.invocation_id] = delivery

    def wait_for_any(self) -> None:
        """Until one is open."""

        def came() -> bool:
            self.take()
            return bool(self.open)

        wait_until(came)

    def finish(self, request_id: str) -> None:
        """Its result is published."""
        delivery = self.open.pop(request_id)
        self.inbox.commit(delivery, (publication_of(delivery),))
        self.inbox.flush()

    def wait(self, request_id: str) -> None:
        """Until it was taken."""

        def came() -> bool:
            self.take()
            return request_id in self.taken

        wait_until(came)


@contextmanager
def executor_of(settings: Settings) -> Iterator[Executor]:
    executor = Executor(settings)
    yield executor
    executor.inbox.close()


@pytest.mark.parametrize("fifo_batch", [1, 10])
def test_a_fifo_queue_keeps_the_order_of_each_group(
    settings: Settings, sqs: Any, fifo_batch: int
) -> None:
    """One that does not end blocks its group alone; the others run in parallel, each in order."""
    url, _ = create_queue(sqs, fifo=True, receives_max=0)
    settings = structs.replace(settings, sqs_queue_url=url, fifo_batch=fifo_batch)
    for name in ("stuck-1", "stuck-2", "a-1", "b-1", "a-2", "b-2", "a-3"):
        send_in_group(sqs, url, name)
    send_in_group(sqs, url, "a-1")  # SQS knows the deduplication id

    with running(ingest.process.run, settings), executor_of(settings) as executor:
        for name in ("stuck-1", "a-1", "b-1"):
            executor.wait(name)
        assert executor.open.keys() == {"stuck-1", "a-1", "b-1"}
        for name, following in (("b-1", "b-2"), ("a-1", "a-2"), ("a-2", "a-3")):
            executor.finish(name)
            executor.wait(following)
        assert "stuck-2" not in executor.taken
        for name in ("stuck-1", "a-3", "b-2"):
            executor.finish(name)
        executor.wait("stuck-2")
        executor.finish("stuck-2")
        wait_until(lambda: left_in(sqs, url) == 0)

    assert sorted(executor.taken) == [
        "a-1", "a-2", "a-3", "b-1", "b-2", "stuck-1", "stuck-2",
    ]  # fmt: skip
    assert [one for one in executor.taken if one[0] == "a"] == ["a-1", "a-2", "a-3"]


def send_in_group(sqs: Any, url: str, name: str) -> None:
    group = name.partition("-")[0]
    order = {"MessageGroupId": group, "MessageDeduplicationId": name}
    sqs.send_message(QueueUrl=url, MessageBody=body(name), **order)


class RecordingQueue(Queue):
    """Remembers what SQS said how often it was received."""

    received: list[Message]

    def receive(self, count_max: int, wait_s: int) -> list[Message]:
        """As the queue."""
        messages = super().receive(count_max, wait_s)
        self.received += messages
        return messages


def build_recording(settings: Settings, sqs: Any) -> tuple[Ingest, RecordingQueue]:
    queue = RecordingQueue(sqs, settings.queue_url, settings.visibility_timeout_s)
    queue.received = []
    log, leases = Log(settings.redis_address), Leases(settings.visibility_timeout_s)
    desk = make_desk(queue, log, leases, settings)
    settlers = [
        Settler(RedisInbox(settings, stream, f"ingest-{stream.name}"), queue, log, leases, settings)
        for stream in (PUBLICATIONS, DEAD)
    ]
    parts = Ingest(
        receivers=tuple(Receiver(Taker(desk)) for _ in range(settings.receivers)),
        keeper=Keeper(leases, queue, log, settings.visibility_timeout_s),
        settler=settlers[0],
        dead_settler=settlers[1],
    )
    return parts, queue


def test_receive_counts_of_a_full_system_are_attempts(settings: Settings, sqs: Any) -> None:
    """Messages wait far longer than the visibility time-out, in SQS: each is received once. With a
    redrive policy of one receive, none is lost to it.
    """
    url, aside = create_queue(sqs, fifo=False, receives_max=1)
    settings = structs.replace(
        settings, sqs_queue_url=url, backlog_max=3, visibility_timeout_s=2, receivers=2
    )
    for number in range(8):
        sqs.send_message(QueueUrl=url, MessageBody=body(f"req-{number}"))
    parts, queue = build_recording(settings, sqs)

    with running(partial(run_parts, parts), settings), executor_of(settings) as executor:
        for number in range(8):
            executor.wait_for_any()
            time.sleep(0.27)  # eight of them take longer than the visibility time-out
            executor.take()
            assert len(executor.open) <= 3, number
            executor.finish(next(iter(executor.open)))
        wait_until(lambda: left_in(sqs, url) == 0)

    assert sorted(executor.taken) == sorted(f"req-{number}" for number in range(8))
    assert [one.receive_count for one in queue.received] == [1] * 8
    assert left_in(sqs, aside) == 0


def test_a_queue_that_vanishes_is_waited_for_by_name(settings: Settings, sqs: Any) -> None:
    """Health says which dependency it is; when the queue is there again the work goes on."""
    name = f"test-{uuid.uuid4().hex}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    settings = structs.replace(settings, sqs_queue_url=url)

    def waits_for_the_queue() -> bool:
        _, waiting = read_health(metrics_text.render(None).decode())
        return any('dependency="sqs_queue"' in one for one in waiting)

    with running(ingest.process.run, settings), executor_of(settings) as executor:
        sqs.delete_queue(QueueUrl=url)
        wait_until(waits_for_the_queue)
        sqs.create_queue(QueueName=name)
        sqs.send_message(QueueUrl=url, MessageBody=body("req-1"))
        executor.wait("req-1")
        executor.finish("req-1")
        wait_until(lambda: left_in(sqs, url) == 0)
        wait_until(lambda: not waits_for_the_queue())
