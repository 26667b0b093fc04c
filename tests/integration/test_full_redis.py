"""A real Redis that gets full: back-pressure before, waiting at the bound, and nothing lost."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from archiver.archiver import Archiver
from archiver.closing import Rules
from archiver.process import STAGE, Lead
from ingest.leases import Leases
from ingest.memory_room import FULL_SHARE, MemoryRoom
from ingest.process import _repeat
from ingest.receive import Receiver
from ingest.take import Taker, make_desk
from publisher.keep_time import KeepTime
from shared import metrics_text
from shared.events import InvocationTuned, derive_event_id
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.metrics_server import read_health
from shared.redis_inbox import RedisInbox
from shared.retention import Memory, Retention
from shared.runner import Stage, run
from shared.settings import Settings
from shared.topology import PROFILES, RECOMMENDATIONS, REQUESTS, key
from tests.fakes.memory_queue import MemoryQueue
from tests.fixtures_redis import RedisServer
from tests.integration.archiving import acknowledge, make_archiver, read_all
from tests.unit.test_receive import body
from tests.unit.test_tuner import make_event

SELDOM = Rules(age_ms_max=600_000, rows_max=200_000, keep_ms=600_000)


@pytest.fixture
def client(mortal_redis: RedisServer) -> Any:
    return redis.Redis.from_url(mortal_redis.url)


@pytest.fixture
def archiver(mortal_redis: RedisServer, tmp_path: Path) -> Iterator[Archiver]:
    made = make_archiver(mortal_redis.url, tmp_path / "archive", SELDOM)
    yield made
    made.retention.close()


def set_room(client: Any, room_bytes: int) -> None:
    """So much more may be used than now."""
    client.config_set("maxmemory", client.info("memory")["used_memory"] + room_bytes)


def fill(log: Log) -> None:
    """Append until Redis refuses."""
    number = 0
    try:
        while True:
            log.append(make_event(number, sandbox_id="s" * 2_000), partition=0)
            number += 1
    except LogUnavailableError as error:
        assert "maxmemory" in str(error)  # noqa: PT017 - that it is refused is the way out


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_a_stage_waits_while_redis_is_full(
    mortal_redis: RedisServer, client: Any, archiver: Archiver
) -> None:
    """It loses nothing, commits when the archiver has made room, and each entry once."""
    url = mortal_redis.url
    log, stop = Log(url), threading.Event()
    set_room(client, 4 << 20)
    fill(log)
    max_bytes = client.info("memory")["maxmemory"]
    client.config_set("maxmemory", 0)
    acknowledge(url, PROFILES, 800).close()
    inbox = RedisInbox(Settings(redis_url=url), PROFILES, "tuner-full")
    inbox.receive(0, 0)  # is connected
    client.config_set("maxmemory", max_bytes)
    taken = [fields[b"event"] for _, fields in client.xrange(key(PROFILES, 0))]

    def tune(event: Any) -> list[InvocationTuned]:
        event_id = derive_event_id(event.event_id, "InvocationTuned")
        return [
            InvocationTuned(
                event_id=event_id, invocation_id=event.invocation_id, occurred_at_ms=1,
                causation_id=event.event_id, execution=event.execution, profile=event.profile,
            )
        ]  # fmt: skip

    stage = Stage("tuner", tune)
    thread = threading.Thread(target=run, args=(stage, inbox, stop, 100), daemon=True)
    thread.start()
    wait_for(lambda: not read_health(metrics_text.render(None).decode())[0])
    assert client.xpending(key(PROFILES, 0), "tuner")["pending"] > 0

    lead = Lead(Log(url), "archiver-1", 5_000)
    while (
        client.xpending(key(PROFILES, 0), "tuner")["pending"]
        or client.xinfo_groups(key(PROFILES, 0))[0]["lag"]
    ):
        assert lead.keep()
        archiver.run_once()
        assert client.info("memory")["used_memory"] <= client.info("memory")["maxmemory"] + 65_536
    stop.set()
    thread.join()

    assert taken == [payload for _, payload in read_all(archiver, PROFILES)]
    causes = [payload.split(b'"profiled-')[1] for _, payload in read_all(archiver, RECOMMENDATIONS)]
    assert len(taken) - 800 == len(causes) == len(set(causes))
    assert STAGE == "archive"
    lead.give_up()
    log.close()


def test_the_archiver_does_not_wait_under_pressure(
    mortal_redis: RedisServer, client: Any, archiver: Archiver
) -> None:
    """What is neither old nor much is archived and trimmed where Redis is half full."""
    log = Log(mortal_redis.url)
    for number in range(300):
        log.append(make_event(number), partition=0)
    acknowledge(mortal_redis.url, PROFILES, 300).close()
    assert 0 == archiver.run_once()
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 3 // 2)
    archiver.run_once()

    assert 0 == client.xlen(key(PROFILES, 0))
    assert 300 == len(read_all(archiver, PROFILES))
    log.close()


def test_ingest_receives_nothing_while_redis_is_nearly_full(
    mortal_redis: RedisServer, client: Any
) -> None:
    """The message stays in SQS, unreceived; health says why; it goes on when there is room."""
    settings = Settings(redis_url=mortal_redis.url)
    queue, stop = MemoryQueue(), threading.Event()
    room = MemoryRoom(Retention(mortal_redis.url))
    desk = make_desk(queue, Log(mortal_redis.url), Leases(30), settings)
    receiver = Receiver(Taker(desk), room)
    queue.send(body())
    used_bytes = client.info("memory")["used_memory"]
    client.config_set("maxmemory", int(used_bytes / (FULL_SHARE + 0.05)))
    thread = threading.Thread(
        target=_repeat,
        args=(lambda: receiver.run_once(stop) or stop.wait(0.01), stop),
        daemon=True,
    )
    thread.start()
    wait_for(lambda: "redis_memory" in str(read_health(metrics_text.render(None).decode())[1]))
    assert 0 == client.xlen(key(REQUESTS, 0))
    client.config_set("maxmemory", used_bytes * 4)
    wait_for(lambda: client.xlen(key(REQUESTS, 0)) == 1)
    wait_for(lambda: "redis_memory" not in str(read_health(metrics_text.render(None).decode())[1]))
    stop.set()
    thread.join()


def test_settling_and_announcing_at_the_bound(mortal_redis: RedisServer, client: Any) -> None:
    """Each says that the log does not answer, and has changed nothing."""
    log = Log(mortal_redis.url)
    set_room(client, 1 << 20)
    fill(log)

    with pytest.raises(LogUnavailableError):
        log.settle([("req-1", "f")], 60)
    with pytest.raises(LogUnavailableError):
        log.bury_message("ingest", b"x", "y", "m")
    assert log.lead("tuner", "one", 1_000)
    assert [] == client.keys("*accepted*")
    log.close()


class Filling:
    """A Redis of which the test says how full it is."""

    def __init__(self) -> None:
        self.memory = Memory(0, 0)
        self.looks = 0

    def read_memory(self) -> Memory:
        self.looks += 1
        return self.memory


def test_results_are_kept_for_a_minute_where_memory_is_short() -> None:
    """As set where there is room or no bound; looked at once a second."""
    filling, now = Filling(), [0.0]
    keep = KeepTime(filling, Settings(result_ttl_s=3_600), clock=lambda: now[0])
    found = []
    for memory in (Memory(9, 0), Memory(4, 10), Memory(5, 10), Memory(1, 10)):
        filling.memory = memory
        now[0] += 1
        found += [keep.decide(), keep.decide()]

    assert [3_600] * 4 + [60] * 2 + [3_600] * 2 == found
    assert 4 == filling.looks
