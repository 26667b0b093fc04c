"""The whole stack on a Redis Cluster: eight partitions on three masters, which move, fail and die.

Stages are scaled to two processes each; each invocation has exactly one result throughout.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import redis

from local.stack import STAGES, Stack
from shared.address import slot_of
from shared.codec import decode
from shared.settings import Settings
from shared.topology import PUBLICATIONS, REQUESTS, key, partition_of
from tests.e2e.client import Client
from tests.fixtures_cluster import RedisCluster, wait_until
from tests.fixtures_stack import MakeStack

PARTITIONS = 8
FUNCTIONS = [f"f{number}" for number in range(16)]
SOURCE = {"main.py": "def handler(event, context):\n    return event\n"}
SLOW = "import time\ndef handler(event, context):\n    time.sleep(3)\n    return event\n"


class ClusterClient(Client):
    """A client that knows a cluster: keys by their slots, messages from any node."""

    def __init__(self, cluster: RedisCluster, settings: Settings) -> None:
        self._cluster = cluster
        super().__init__(cluster.nodes[1].port, str(settings.aws_endpoint), settings.queue_url)

    def listen(self) -> None:
        self.redis = self._cluster.client
        self.pubsub = self._cluster.nodes[1].client.pubsub()
        self.pubsub.psubscribe("result:*")

    def wait_kept(self, request_ids: Iterable[str], seconds: float = 60) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        kept: dict[str, dict[str, Any]] = {}
        wanted = list(request_ids)
        while len(kept) < len(wanted):
            for name in set(wanted) - set(kept):
                try:
                    text: Any = self.redis.get(f"job:{name}")
                except (redis.RedisError, redis.exceptions.RedisClusterException):
                    continue
                if text:
                    kept[name] = json.loads(text)
            missing = sorted(set(wanted) - set(kept))
            assert time.monotonic() < deadline, f"no result after {seconds} s for {missing}"
            time.sleep(0.05)
        return [kept[name] for name in wanted]

    def count_publications(self) -> Counter[str]:
        """How often each request was published, by the log."""
        return Counter(
            decode(fields["event"].encode()).invocation_id
            for partition in range(PARTITIONS)
            for _, fields in self.redis.xrange(key(PUBLICATIONS, partition))
        )


@pytest.fixture
def scaled(make_stack: MakeStack, redis_cluster: RedisCluster) -> tuple[Stack, ClusterClient]:
    """Two processes of each stage on the cluster."""
    stack, client = make_stack(
        *STAGES,
        *STAGES,
        connect=lambda stack: ClusterClient(redis_cluster, stack.settings),
        REDIS_URL=redis_cluster.url,
        PARTITIONS=str(PARTITIONS),
        SANDBOXES_MAX="4",
        GENERIC_SANDBOXES_MAX="0",
    )
    assert isinstance(client, ClusterClient)
    for name in FUNCTIONS:
        client.deploy(name, SOURCE)
    return stack, client


def send(client: Client, first: int, count: int) -> list[str]:
    """Requests of all functions in turn."""
    names = [f"r{number}" for number in range(first, first + count)]
    for number, name in enumerate(names, first):
        client.send(name, FUNCTIONS[number % len(FUNCTIONS)], input=number)
    return names


def has_pending(client: Client, function_id: str, process_id: int) -> bool:
    """The executor has an invocation of the function in hand."""
    name = key(REQUESTS, partition_of(function_id, PARTITIONS))
    consumers: Any = client.redis.xinfo_consumers(name, "executor")
    return any(one["pending"] and f"-{process_id}-" in one["name"] for one in consumers)


@pytest.mark.timeout(180)  # a stack that has lost a master takes its time to stop
def test_partitions_move_fail_over_and_lose_their_master(
    scaled: tuple[Stack, ClusterClient], redis_cluster: RedisCluster
) -> None:
    """Under load a slot moves, a replica takes over, a master and an executor are killed."""
    stack, client = scaled
    used = {partition_of(name, PARTITIONS) for name in FUNCTIONS}
    assert len({redis_cluster.master_of(slot_of(one)).port for one in used}) == 3
    names = send(client, 0, 24)
    client.wait_kept(names[:4])

    slot = slot_of(partition_of(FUNCTIONS[0], PARTITIONS))
    source = redis_cluster.master_of(slot)
    target = next(node for node in redis_cluster.nodes[1:3] if node is not source)
    redis_cluster.move_slot(slot, target)
    names += send(client, 24, 16)

    replica, first = redis_cluster.nodes[3], redis_cluster.nodes[0]
    follower = replica if replica.role == "slave" else first
    follower.client.execute_command("CLUSTER FAILOVER")
    wait_until(lambda: follower.role == "master", "the replica is promoted")
    names += send(client, 40, 16)

    victim = redis_cluster.nodes[2]
    victim.kill()
    names += send(client, 56, 16)
    time.sleep(0.5)
    victim.start()

    client.deploy("slow", {"main.py": SLOW})
    for number in range(72, 80):
        client.send(f"r{number}", "slow", input=number)
    names += [f"r{number}" for number in range(72, 80)]
    mortal = stack.find("executor").pid
    wait_until(lambda: has_pending(client, "slow", mortal), "the slow ones run")
    stack.kill("executor")

    documents = client.wait_kept(names, seconds=50)

    assert list(range(80)) == [one["output"] for one in documents]
    assert {1, 2} == {one["attempt"] for one in documents}
    client.wait_settled(seconds=30)
    assert Counter(names) == client.count_publications()
    assert 0 == sum(client.redis.xlen(f"{{hearth:{one}}}:dead") for one in range(PARTITIONS))
