"""Two tuners share the partitions; one is killed: the other leads them all within the lead's time.

Each event has its advice once and in order, whoever led when.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from local.stack import Stack, local_environment
from shared.codec import decode
from shared.log import Log
from shared.topology import PROFILES, RECOMMENDATIONS, active_key, key
from tests.fixtures_cluster import wait_until
from tests.fixtures_redis import RedisServer
from tests.unit.test_tuner import make_event

PARTITIONS = 4
LEAD_TTL_MS = 1_500


@pytest.fixture
def tuners(tmp_path: Path, redis_server: RedisServer) -> Iterator[Stack]:
    """A stack in which the test starts tuners."""
    stack = Stack(
        {
            **local_environment(tmp_path),
            "REDIS_URL": redis_server.url,
            "PARTITIONS": str(PARTITIONS),
            "LEAD_TTL_MS": str(LEAD_TTL_MS),
        },
        log_path=tmp_path / "tuners.log",
    )
    yield stack
    stack.terminate(["tuner"])
    print((tmp_path / "tuners.log").read_text())


def find_leaders(client: Any) -> Counter[str]:
    """How many partitions each process leads."""
    names = [client.get(active_key("tuner", one)) for one in range(PARTITIONS)]
    # stage, host, process id, random digits
    return Counter(name.decode().rsplit("-", 2)[1] for name in names if name)


def advised(client: Any, partition: int) -> list[str]:
    """The invocations that have their advice, in order."""
    entries = client.xrange(key(RECOMMENDATIONS, partition))
    return [decode(fields[b"event"]).invocation_id for _, fields in entries]


def test_a_killed_tuner_is_replaced_on_every_partition(
    tuners: Stack, redis_server: RedisServer
) -> None:
    """Shared evenly, one active consumer each; a SIGKILL costs no more than the lead's time."""
    client: Any = redis.Redis.from_url(redis_server.url)
    log = Log(redis_server.url, PARTITIONS)
    tuners.start("tuner")
    wait_until(lambda: find_leaders(client).total() == PARTITIONS, "one leads all")
    tuners.start("tuner")
    wait_until(lambda: sorted(find_leaders(client).values()) == [2, 2], "they share")
    expected = []
    for number in range(30):
        event = make_event(number)
        expected.append(event.invocation_id)
        for partition in range(PARTITIONS):
            log.append(event, partition=partition)
        if number == 10:
            wait_until(lambda: advised(client, 3) != [], "they work")
            for partition in range(PARTITIONS):
                consumers = client.xinfo_consumers(key(PROFILES, partition), "tuner")
                assert len(consumers) == 1
            tuners.kill("tuner")
            killed_at = time.monotonic()

    wait_until(lambda: list(find_leaders(client).values()) == [PARTITIONS], "one leads all again")
    took_s = time.monotonic() - killed_at
    for partition in range(PARTITIONS):
        wait_until(lambda at=partition: len(advised(client, at)) >= 30, "all have their advice")  # type: ignore[misc]

    assert all(expected == advised(client, partition) for partition in range(PARTITIONS))
    assert took_s < LEAD_TTL_MS / 1_000 + 1.0  # a busy machine's second
    log.close()
    client.close()
