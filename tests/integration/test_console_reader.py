"""The console's reader and look-ups on a real Redis: bounded, whatever the log holds."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from console.projection import Projection
from console.reader import BACKFILL_ENTRIES, Reader
from console.trace import PUBLICATIONS_MAX, read_known, search
from shared.codec import encode
from shared.events import Outcome, ResultPublished, S3Object
from shared.tail import Tail
from shared.topology import PUBLICATIONS, key, stream_of
from tests.fixtures_redis import RedisServer
from tests.unit.test_console import make_events


@pytest.fixture
def tail(redis_server: RedisServer) -> Iterator[Tail]:
    """The end of an empty log."""
    tail = Tail(redis_server.url)
    yield tail
    tail.close()


def publish(number: int) -> ResultPublished:
    return ResultPublished(
        event_id=f"e{number}", invocation_id=f"req-{number}", causation_id="d", occurred_at_ms=1,
        function_id="thumb", outcome=Outcome.SUCCEEDED, document=S3Object(bucket="b", key="k"),
        document_bytes=7,
    )  # fmt: skip


def append(server: RedisServer, events: list[Any]) -> None:
    with redis.Redis.from_url(server.url) as client:
        pipe = client.pipeline(transaction=False)
        for event in events:
            pipe.xadd(key(stream_of(type(event).__name__), 0), {"event": encode(event)})
        pipe.execute()


def count_commands(server: RedisServer) -> dict[str, int]:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        stats: Any = client.info("commandstats")
        client.config_resetstat()
    return {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}


def test_it_begins_with_the_newest_and_follows(redis_server: RedisServer, tail: Tail) -> None:
    """Of a long log only its end is read; what comes then is folded in the next turn."""
    append(redis_server, [publish(number) for number in range(BACKFILL_ENTRIES + 500)])
    projection = Projection()
    reader = Reader(tail, projection)

    assert BACKFILL_ENTRIES == reader.run_once()
    append(redis_server, make_events(9_999))
    assert 4 == reader.run_once()
    assert "thumb" == projection.list_recent(limit=1)[0].function_id
    assert "" == projection.problem


def test_a_burst_is_counted_and_its_newest_are_looked_at(
    redis_server: RedisServer, tail: Tail
) -> None:
    """A turn costs Redis a handful of commands, however many entries came."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.xgroup_create(key(PUBLICATIONS, 0), "ingest", id="0", mkstream=True)
    projection = Projection()
    reader = Reader(tail, projection)
    reader.run_once()
    append(redis_server, [publish(number) for number in range(2_000)])
    count_commands(redis_server)

    folded = reader.run_once()
    time.sleep(1)  # the stages are looked at once a second
    reader.run_once()
    commands = count_commands(redis_server)

    assert 100 == folded
    assert 1_900 == projection.skipped
    assert "req-1999" in projection.invocations
    assert {"keys", "scan", "xrange"}.isdisjoint(commands)
    assert (2, 1) == (commands["xread"], commands["xrevrange"])
    assert sum(commands.values()) < 30


def test_what_redis_lost_is_forgotten(redis_server: RedisServer, tail: Tail) -> None:
    """After a reconnection the log is read anew: it may be another one."""
    append(redis_server, make_events(1))
    projection = Projection()
    Reader(tail, projection).run_once()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()

    Reader(tail, projection).run_once()

    assert {} == projection.functions


def test_an_old_invocation_is_found_by_its_publication(
    redis_server: RedisServer, tail: Tail
) -> None:
    """With all its events, in the order of their causes; what was never there is not."""
    append(redis_server, [*make_events(1), publish(1)])
    append(redis_server, [publish(number) for number in range(2, 700)])
    count_commands(redis_server)

    found = search(tail, "req-1")

    assert [
        "InvocationRequested", "InvocationFinished", "InvocationProfiled", "InvocationTuned",
        "ResultPublished",
    ] == [type(one.event).__name__ for one in found]  # fmt: skip
    assert found == read_known(tail, [(one.place, one.entry_id) for one in found])
    assert [] == search(tail, "req-nobody")
    assert count_commands(redis_server)["xrevrange"] < PUBLICATIONS_MAX / 250
