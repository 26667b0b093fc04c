"""Ingest and publisher as processes run them: on real Redis and an AWS stand-in over HTTP."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from msgspec import json as msgspec_json
from msgspec import structs

import ingest.process
import publisher.process
from ingest.keep import Keeper
from ingest.leases import Leases
from ingest.process import Ingest, run_parts
from ingest.receive import Receiver
from ingest.settle import Settler
from ingest.take import Taker, make_desk
from shared.codec import decode
from shared.events import (
    Execution,
    InvocationRequested,
    InvocationTuned,
    Outcome,
    Profile,
    ResultPublished,
    S3Object,
    derive_event_id,
)
from shared.inbox import Delivery
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS, REQUESTS
from tests.fakes.memory_inbox import MemoryInbox
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_queue import MemoryQueue
from tests.fixtures_redis import RedisServer


@pytest.fixture
def settings(
    aws_settings: Settings, redis_server: RedisServer, queue_url: str, bucket: str
) -> Settings:
    """One partition would hide a wrong one, so there are three."""
    return structs.replace(
        aws_settings,
        redis_url=redis_server.url,
        sqs_queue_url=queue_url,
        aws_endpoint_url=str(aws_settings.aws_endpoint),
        s3_code_bucket=bucket,
        s3_output_bucket=bucket,
        visibility_timeout_s=2,
        partitions=3,
        receivers=2,
    )


@contextmanager
def running(run: Callable[[Settings, threading.Event], None], settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        process: Future[None] = threads.submit(run, settings, stop)
        try:
            yield
        finally:
            stop.set()
        process.result(20)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def left_in(sqs: Any, queue_url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def publication_of(delivery: Delivery) -> ResultPublished:
    event = decode(delivery.payload)
    assert isinstance(event, InvocationRequested)
    return ResultPublished(
        event_id=derive_event_id(event.event_id, "ResultPublished"),
        invocation_id=event.invocation_id,
        causation_id=event.event_id,
        occurred_at_ms=1,
        function_id=event.function_id,
        outcome=Outcome.SUCCEEDED,
        document=S3Object(bucket="b", key="k"),
        document_bytes=1,
    )


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a queue named, clients look for credentials as usual."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


def test_messages_go_in_and_are_settled(settings: Settings, sqs: Any, queue_url: str) -> None:
    """Each request is appended once, kept while it runs, and its message deleted at the end."""
    for number in range(20):
        fields = {"requestId": f"req-{number}", "functionId": f"f{number}", "runtime": "go"}
        sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({**fields, "s3Key": "k"}))
    again = {"requestId": "req-3", "functionId": "f3", "runtime": "go", "s3Key": "k"}
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(again))
    sqs.send_message(QueueUrl=queue_url, MessageBody="not JSON")
    inbox = RedisInbox(settings, REQUESTS, "executor")
    log = Log(settings.redis_address, settings.partitions)
    deliveries: list[Delivery] = []

    def receive() -> bool:
        deliveries.extend(inbox.receive(100, 50))
        return len(deliveries) == 20

    with running(ingest.process.run, settings):
        wait_until(receive)
        time.sleep(2.5)  # longer than the visibility timeout: only extending keeps them away
        assert inbox.receive(100, 200) == []
        assert left_in(sqs, queue_url) == 21
        for delivery in deliveries[1:]:
            inbox.commit(delivery, (publication_of(delivery),))
        inbox.bury(deliveries[0], "the test gave it up")
        inbox.flush()
        wait_until(lambda: left_in(sqs, queue_url) == 0)

    assert sum(len(log.dead_letters(partition)) for partition in range(3)) == 2
    assert log.backlog(PUBLICATIONS) == 0
    assert log.backlog(DEAD) == 0
    inbox.close()
    log.close()


class BrokenLog(MemoryLog):
    """A log with a mistake in it."""

    def backlog(self, stream: object) -> int:
        """Raise what no stage waits for."""
        raise AssertionError(f"a mistake of ours, at {stream}")


def test_a_broken_thread_ends_the_process() -> None:
    """Whatever a receiver meets that is no absence ends all threads, and is raised."""
    queue, log, leases, settings = MemoryQueue(), BrokenLog(), Leases(60), Settings()
    inboxes = [MemoryInbox(log.streams, stream, "c") for stream in (PUBLICATIONS, DEAD)]
    parts = Ingest(
        receivers=(Receiver(Taker(make_desk(queue, log, leases, settings))),),
        keeper=Keeper(leases, queue, log, 60),
        settler=Settler(inboxes[0], queue, log, leases, settings),
        dead_settler=Settler(inboxes[1], queue, log, leases, settings),
    )
    stop = threading.Event()

    with pytest.raises(AssertionError, match="a mistake of ours"):
        run_parts(parts, settings, stop)
    assert stop.is_set()


def tuned(number: int) -> InvocationTuned:
    return InvocationTuned(
        event_id=f"tuned-{number}",
        invocation_id=f"req-{number}",
        causation_id="cause",
        occurred_at_ms=1,
        execution=Execution(
            function_id=f"f{number}",
            outcome=Outcome.SUCCEEDED,
            requested_at_ms=0,
            reply_to="answers",
        ),
        profile=Profile(),
    )


def test_results_are_published(settings: Settings, s3: Any, bucket: str) -> None:
    """In Redis for who waits, in S3 for who looks later, and in the log for ingest."""
    log = Log(settings.redis_address, settings.partitions)
    client: Any = redis.Redis.from_url(settings.redis_address)
    hearing = client.pubsub(ignore_subscribe_messages=True)
    hearing.subscribe("answers")
    hearing.get_message(timeout=1)
    inbox = RedisInbox(settings, PUBLICATIONS, "ingest")
    published: list[Delivery] = []

    def receive() -> bool:
        published.extend(inbox.receive(100, 50))
        return len(published) == 50

    with running(publisher.process.run, settings):
        for number in range(50):
            event = tuned(number)
            log.append(event, partition=log.partition_of(event.execution.function_id))
        wait_until(receive)

    listing = s3.list_objects_v2(Bucket=bucket, Prefix="results/1970/01/01/")
    assert listing["KeyCount"] == 50
    stored = s3.get_object(Bucket=bucket, Key="results/1970/01/01/req-7.json")["Body"].read()
    assert client.get("job:req-7") == stored
    heard = [hearing.get_message(timeout=1) for _ in range(50)]
    assert {msgspec_json.decode(one["data"])["requestId"] for one in heard if one} == {
        f"req-{number}" for number in range(50)
    }
    hearing.close()
    client.close()
    inbox.close()
    log.close()
