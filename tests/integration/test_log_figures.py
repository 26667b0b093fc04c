"""The figures of the log, from a real Redis."""

import threading

from shared.events import Code, InvocationRequested, Runtime
from shared.log_figures import Figures, LogFigures, StreamFigures, watch
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import REQUESTS
from tests.fixtures_redis import RedisServer


def make_request(number: int) -> InvocationRequested:
    return InvocationRequested(
        event_id=f"e{number}",
        invocation_id=f"r{number}",
        causation_id=f"m{number}",
        occurred_at_ms=1,
        function_id=f"function-{number}",
        runtime=Runtime.PYTHON,
        handler="main.handler",
        code=Code(bucket="code", key="f.zip"),
        memory_mb=128,
        timeout_ms=1_000,
    )


def read_requests(log: LogFigures, now_ms: int) -> StreamFigures:
    return next(one for one in log.read(now_ms).streams if one.stream == "requests")


def append(log: LogFigures, count: int) -> list[int]:
    """When each entry was appended, by its id."""
    events = [make_request(number) for number in range(count)]
    ids = [log.append(one, partition=log.partition_of(one.function_id)) for one in events]
    return [int(one.partition("-")[0]) for one in ids]


def test_an_empty_redis_has_streams_of_nothing(redis_server: RedisServer) -> None:
    """Before the first process came, nothing is behind and nothing is unknown."""
    log = LogFigures(redis_server.url, partitions=2)

    figures = log.read(0)

    assert figures.up
    assert figures.memory_bytes_max > figures.memory_bytes > 0
    assert {(one.entries, one.lag, one.oldest_age_s) for one in figures.streams} <= {
        (0, 0, 0.0),
        (0, None, None),
    }


def test_lag_pending_and_age_follow_the_group(redis_server: RedisServer) -> None:
    """What nobody took is lag, what is in somebody's hand is pending; both make the age."""
    settings = Settings(redis_url=redis_server.url, partitions=2)
    log = LogFigures(redis_server.url, partitions=2)
    appended = append(log, 8)
    inbox = RedisInbox(settings, REQUESTS, "consumer-1")

    before = read_requests(log, appended[0] + 5_000)
    taken = inbox.receive(3, 1_000)
    between = read_requests(log, appended[0] + 5_000)
    for one in taken:
        inbox.commit(one, ())
    while rest := inbox.receive(8, 100):
        for one in rest:
            inbox.commit(one, ())
    inbox.flush()
    after = read_requests(log, appended[0] + 5_000)
    inbox.close()

    assert (before.entries, before.lag, before.pending, before.oldest_age_s) == (8, 8, 0, 5.0)
    assert (between.lag or 0) + (between.pending or 0) == 8
    assert (between.pending, between.consumers, between.oldest_age_s) >= (3, 1, 5.0)
    assert (after.entries, after.lag, after.pending, after.oldest_age_s) == (8, 0, 0, 0.0)


def test_a_dead_redis_has_no_figures(mortal_redis: RedisServer) -> None:
    """Old figures would hide what happens: nothing is said but that nothing answers."""
    log = LogFigures(mortal_redis.url)
    said: list[Figures] = []
    stop = threading.Event()

    def tell(figures: Figures) -> None:
        said.append(figures)
        stop.set()

    watch(log, stop, tell)
    stop.clear()
    mortal_redis.kill()
    watch(log, stop, tell)

    assert [(one.up, bool(one.streams)) for one in said] == [(True, True), (False, False)]
