"""Results are announced once, written, and committed only then, whatever is away or dies when."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from msgspec import json

from publisher.process import finish
from publisher.results_bucket import BucketUnavailableError
from publisher.stage import IN_FLIGHT_MAX, Publisher, Work
from publisher.writers import Writers
from shared.codec import decode, encode
from shared.events import (
    Execution,
    InvocationTuned,
    MemoryLimitChanged,
    Outcome,
    Profile,
    ResultPublished,
    S3Object,
    derive_event_id,
)
from shared.inbox import LogUnavailableError
from shared.settings import Settings
from shared.topology import RECOMMENDATIONS
from tests.fakes.memory_inbox import MemoryInbox, MemoryStreams
from tests.fakes.memory_log import MemoryLog


class MemoryBucket:
    """Objects in memory; it can be away, and it can be held."""

    name = "out"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts = 0
        self.available = True
        self.open = threading.Event()
        self.open.set()

    def write(self, key: str, document: bytes) -> None:
        """See `ResultsBucket.write`."""
        assert self.open.wait(10)
        if not self.available:
            raise BucketUnavailableError("the test took S3 away")
        self.objects[key] = document
        self.puts += 1


def tuned(number: int, reply_to: str | None = None) -> InvocationTuned:
    return InvocationTuned(
        event_id=f"tuned-{number}",
        invocation_id=f"req-{number}",
        causation_id="cause",
        occurred_at_ms=1,
        execution=Execution(
            function_id="f",
            outcome=Outcome.SUCCEEDED,
            requested_at_ms=0,
            reply_to=reply_to,
        ),
        profile=Profile(),
    )


class World:
    """A publisher between a log and a bucket."""

    def __init__(self) -> None:
        self.streams = MemoryStreams()
        self.log = MemoryLog(self.streams)
        self.bucket = MemoryBucket()
        self.publishers: list[Publisher] = []
        self.publisher = self.make_publisher("first")

    def make_publisher(self, consumer: str) -> Publisher:
        inbox = MemoryInbox(self.streams, RECOMMENDATIONS, consumer, claim_idle_ms=100)
        writers: Writers[Work] = Writers(self.bucket, 4)
        publisher = Publisher(inbox, self.log, writers, "out", Settings(), now_ms=lambda: 9)
        self.publishers.append(publisher)
        return publisher

    def append(self, *events: InvocationTuned) -> None:
        for event in events:
            self.streams.append(RECOMMENDATIONS.name, 0, encode(event))

    def published(self) -> list[ResultPublished]:
        self.publisher.inbox.flush()
        entries = self.streams.entries.get(("publications", 0), [])
        events = [decode(payload) for _, payload in entries]
        return [event for event in events if isinstance(event, ResultPublished)]

    def run_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            self.publisher.run_once(20)


@pytest.fixture
def world() -> Iterator[World]:
    """A publisher whose threads end with the test."""
    world = World()
    yield world
    world.bucket.open.set()
    for publisher in world.publishers:
        publisher.writers.close()


def test_a_result(world: World) -> None:
    """Announced on its channels, kept, written, and then recorded as published."""
    world.append(tuned(1, reply_to="answers:me"))
    world.run_until(lambda: len(world.published()) == 1)

    (event,) = world.published()
    document = world.bucket.objects["results/1970/01/01/req-1.json"]
    assert world.log.heard == [("result:req-1", document), ("answers:me", document)]
    assert world.log.jobs == {"req-1": document}
    assert json.decode(document)["requestId"] == "req-1"
    assert event.event_id == derive_event_id("tuned-1", "ResultPublished")
    assert (event.causation_id, event.occurred_at_ms) == ("tuned-1", 9)
    assert (event.document.bucket, event.document_bytes) == ("out", len(document))


def test_receivers_do_not_wait_for_s3(world: World) -> None:
    """While S3 is slow results are announced, and nothing is recorded as published."""
    world.bucket.open.clear()
    world.append(*map(tuned, range(20)))
    world.run_until(lambda: len(world.log.jobs) == 20)

    assert world.published() == []
    world.bucket.open.set()
    world.run_until(lambda: len(world.published()) == 20)
    assert world.bucket.puts == 20


def test_a_written_result_wakes_the_loop(world: World) -> None:
    """A commit does not wait for the next delivery."""
    world.bucket.open.clear()
    world.append(tuned(1))
    world.publisher.run_once(0)
    opener = threading.Timer(0.1, world.bucket.open.set)
    opener.start()
    began = time.monotonic()
    world.publisher.run_once(10_000)
    waited_s = time.monotonic() - began
    opener.join()
    world.run_until(lambda: len(world.published()) == 1)

    assert waited_s < 5


def test_s3_away_loses_nothing(world: World) -> None:
    """Writes are tried again until S3 takes them."""
    world.bucket.available = False
    world.append(*map(tuned, range(10)))
    for _ in range(10):
        world.publisher.run_once(20)
    assert world.published() == []
    world.bucket.available = True

    world.run_until(lambda: len(world.published()) == 10)
    assert len(world.log.heard) == 10


def test_what_is_in_flight_is_bounded(world: World) -> None:
    """While S3 is away the publisher stops receiving."""
    world.bucket.open.clear()
    world.append(*map(tuned, range(IN_FLIGHT_MAX + 50)))
    for _ in range(10):
        world.publisher.run_once(5)

    assert world.publisher.writers.in_flight == IN_FLIGHT_MAX
    world.bucket.open.set()
    world.run_until(lambda: len(world.published()) == IN_FLIGHT_MAX + 50)


def test_redis_away_loses_nothing(world: World) -> None:
    """What was received is announced when Redis is back, once."""
    world.append(tuned(1))
    world.log.available = False
    for _ in range(3):
        with pytest.raises(LogUnavailableError):
            world.publisher.run_once(0)
    world.log.available = True

    world.run_until(lambda: len(world.published()) == 1)
    assert len(world.log.heard) == 1


def test_a_death_after_the_announcement(world: World) -> None:
    """The next process announces nothing twice and completes the rest."""
    world.bucket.open.clear()
    world.append(tuned(1))
    world.publisher.run_once(0)
    time.sleep(0.15)  # the entry is idle: its owner died
    world.publisher = world.make_publisher("second")
    world.bucket.open.set()

    world.run_until(lambda: len(world.published()) == 1)
    assert len(world.log.heard) == 1


def test_a_long_outage_keeps_ownership(world: World) -> None:
    """Nobody claims what a living publisher still writes."""
    world.bucket.open.clear()
    world.append(tuned(1))
    world.publisher.run_once(0)
    other = world.make_publisher("second")
    for _ in range(10):
        world.publisher.run_once(20)

    assert other.inbox.receive(10, 0) == []


def test_strange_entries_are_buried(world: World) -> None:
    """They hold nothing up."""
    publication = ResultPublished(
        event_id="e",
        invocation_id="req-1",
        causation_id="c",
        occurred_at_ms=0,
        function_id="f",
        outcome=Outcome.SUCCEEDED,
        document=S3Object(bucket="out", key="k"),
        document_bytes=1,
    )
    world.streams.append(RECOMMENDATIONS.name, 0, b"not an event")
    world.streams.append(RECOMMENDATIONS.name, 0, encode(publication))
    world.append(tuned(2))
    world.run_until(lambda: len(world.published()) == 1)

    assert len(world.streams.entries["dead", 0]) == 2


def test_a_changed_limit_is_in_force_once_it_is_acknowledged(world: World) -> None:
    """No result, no dead letter; where the log went away meanwhile, it is granted afterwards."""
    change = MemoryLimitChanged(
        event_id="e",
        invocation_id="req-1",
        causation_id="c",
        occurred_at_ms=0,
        function_id="f",
        from_mb=512,
        to_mb=128,
        action="advice",
        reason="Resource waste",
    )
    world.streams.append(RECOMMENDATIONS.name, 0, encode(change))
    world.append(tuned(2))
    world.log.available = False
    with pytest.raises(LogUnavailableError):
        world.publisher.run_once(0)
    world.log.available = True
    world.run_until(lambda: len(world.published()) == 1)

    assert [] == world.streams.entries.get(("dead", 0), [])
    assert (0, 128) == (world.log.backlog(RECOMMENDATIONS), world.log.granted_mb("f"))


def test_stopping_finishes_what_is_written(world: World) -> None:
    """What S3 takes in time is committed; the rest stays pending for the next process."""
    world.append(tuned(1))
    world.publisher.run_once(0)
    finish(world.publisher, 5)
    assert len(world.published()) == 1
    world.bucket.available = False
    world.append(tuned(2))
    world.publisher.run_once(0)
    finish(world.publisher, 0.1)

    assert len(world.published()) == 1
    assert len(world.streams.pending[RECOMMENDATIONS.name, 0]) == 1
