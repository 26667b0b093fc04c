"""Looking on at the streams of a real Redis."""

import msgspec
import pytest

from shared.events import SandboxStopped
from shared.follower import Follower
from shared.log import Log
from shared.topology import EXECUTIONS, PROFILES
from tests.fixtures_redis import RedisServer

STOPPED = SandboxStopped(
    event_id="e",
    invocation_id="i",
    causation_id="c",
    occurred_at_ms=1,
    function_id="f",
    sandbox_id="s",
    worker_id="w",
    reason="idle",
)


def append(log: Log, name: str, partition: int) -> str:
    entry_id: str = log.append(msgspec.structs.replace(STOPPED, event_id=name), partition=partition)
    return entry_id


@pytest.mark.parametrize("partitions", [1, 3])
def test_it_reads_what_is_appended_from_a_moment_on(
    redis_server: RedisServer, partitions: int
) -> None:
    """Of its streams in all partitions, once, in order; from now on where no moment is named."""
    log = Log(redis_server.url, partitions)
    old = [append(log, f"old-{number}", number % partitions) for number in range(4)]
    now = Follower(redis_server.url, partitions)
    all_of_it = Follower(redis_server.url, partitions, [EXECUTIONS])
    others = Follower(redis_server.url, partitions, [PROFILES])
    now.start()
    for follower in (all_of_it, others):
        follower.start(0)
    new = append(log, "new", partitions - 1)

    assert [(EXECUTIONS, new)] == [one[:2] for one in now.read(500)]
    assert sorted([*old, new]) == sorted(one[1] for one in all_of_it.read(500))
    assert ([], [], []) == (others.read(20), now.read(20), all_of_it.read(0))
    for one in (log, now, all_of_it, others):
        one.close()
