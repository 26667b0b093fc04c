"""The contract of the log's edge calls, on the fake and on real Redis."""

from collections.abc import Iterator

import pytest

from shared.events import (
    Code,
    InvocationRequested,
    MemoryLimitChanged,
    Runtime,
    derive_event_id,
)
from shared.log import Accepted, Log, PublishedResult
from shared.topology import DEAD, REQUESTS
from tests.fakes.memory_log import MemoryLog
from tests.fixtures_cluster import RedisCluster
from tests.fixtures_redis import RedisServer

EdgeLog = Log | MemoryLog


@pytest.fixture(params=["memory", "redis", "cluster"])
def log(request: pytest.FixtureRequest) -> Iterator[EdgeLog]:
    """Each implementation in turn."""
    if request.param == "memory":
        yield MemoryLog()
        return
    server: RedisServer | RedisCluster = request.getfixturevalue(
        "redis_cluster" if request.param == "cluster" else "redis_server"
    )
    real = Log(server.url)
    yield real
    real.close()


def make_request(name: str) -> InvocationRequested:
    """A request as ingest makes it."""
    return InvocationRequested(
        event_id=derive_event_id(name, "InvocationRequested"),
        invocation_id=name,
        causation_id=name,
        occurred_at_ms=1,
        function_id="f",
        runtime=Runtime.PYTHON,
        handler="main.handler",
        code=Code(bucket="b", key="k"),
        memory_mb=128,
        timeout_ms=1_000,
    )


def test_a_request_is_accepted_once(log: EdgeLog) -> None:
    """A second delivery appends nothing and is told apart from a settled one."""
    states = [
        log.accept(make_request("r"), message_id="m1", receipt="one"),
        log.accept(make_request("r"), message_id="m1", receipt="two"),
        log.accept(make_request("r"), message_id="m2", receipt="three"),
    ]

    assert states == [Accepted.NEW, Accepted.IN_FLIGHT, Accepted.IN_FLIGHT]
    assert log.backlog(REQUESTS) == 1
    assert log.messages_of([("r", "f"), ("unheard", "f")]) == [{"m1": "two", "m2": "three"}, {}]


def test_a_settled_request_stays_known(log: EdgeLog) -> None:
    """After settling, its messages are forgotten and a duplicate is recognised."""
    log.accept(make_request("r"), message_id="m1", receipt="one")

    log.settle([("r", "f")], ttl_s=60)

    assert log.messages_of([("r", "f")]) == [{}]
    assert log.accept(make_request("r"), message_id="m9", receipt="x") is Accepted.SETTLED
    assert log.messages_of([("r", "f")]) == [{}]
    assert log.backlog(REQUESTS) == 1


def test_a_result_is_published_once(log: EdgeLog) -> None:
    """The first call is news, a repeat is not, others are not touched by it."""
    one = PublishedResult("r", ("result:r", "mine"), b"{}")
    two = PublishedResult("s", ("result:s",), b"{}")

    assert log.publish([one], ttl_s=60) == [True]
    assert log.publish([one, two], ttl_s=60) == [False, True]


def test_a_message_is_buried_once(log: EdgeLog) -> None:
    """SQS delivers it again where its receiver died before it was deleted."""
    for message_id in ("m1", "m2", "m1"):
        log.bury_message("ingest", b"bytes", "not JSON", message_id)

    assert 2 == log.backlog(DEAD)


def make_change(at_ms: int, to_mb: int) -> MemoryLimitChanged:
    """A limit that the tuner set."""
    return MemoryLimitChanged(
        event_id="e",
        invocation_id="r",
        causation_id="c",
        occurred_at_ms=at_ms,
        function_id="f",
        from_mb=128,
        to_mb=to_mb,
        action="advice",
        reason="",
    )


def test_the_newest_limit_holds(log: EdgeLog) -> None:
    """A change that was published late, or again, does not undo a newer one."""
    before = log.granted_mb("f")
    for change in (make_change(5, 512), make_change(9, 256), make_change(5, 512)):
        log.grant(change)

    assert (None, 256, None) == (before, log.granted_mb("f"), log.granted_mb("other"))


def test_what_never_became_an_entry_lies_in_the_dead(log: EdgeLog) -> None:
    """A buried message is counted in the backlog of the group that settles it."""
    log.bury_message("ingest", b"\xff", "not JSON", "m1")

    assert log.backlog(DEAD) == 1


def test_streams_that_nobody_wrote_have_no_backlog(log: EdgeLog) -> None:
    """A fresh Redis is no error."""
    assert log.backlog(REQUESTS) == 0
