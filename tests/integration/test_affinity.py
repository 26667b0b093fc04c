"""Two executors, twenty functions: hardly more cold starts than one executor would have."""

import random
from collections import Counter
from typing import Any

from tests.e2e.client import Client
from tests.fixtures_cluster import wait_until
from tests.fixtures_stack import MakeStack

FUNCTIONS = 20
CALLS = 60
SEED = 20_261_124


def test_more_executors_do_not_mean_more_cold_starts(make_stack: MakeStack) -> None:
    """One call after the other: who has it warm gets it, and each call runs once."""
    stack, client = make_stack(
        "ingest",
        "profiler",
        "tuner",
        "publisher",
        GENERIC_SANDBOXES_MAX="0",
        SANDBOXES_MAX="24",
        POOL_POLICY="fixed",
    )
    for name in ("one", "two"):
        stack.environment = {**stack.environment, "WORKER_ID": name}
        stack.start("executor")
    wait_until(lambda: listeners(client) == 2, "both executors listen")
    for number in range(FUNCTIONS):
        client.deploy(f"f{number}", {"main.py": "def handler(event, context):\n    return event\n"})
    chance = random.Random(SEED)
    starts: Counter[str] = Counter()
    workers: Counter[str] = Counter()
    for number in range(CALLS):
        function = f"f{number if number < FUNCTIONS else chance.randrange(FUNCTIONS)}"
        document: dict[str, Any] = client.invoke(f"r{number}", function, input=number)
        assert (number, 1) == (document["output"], document["attempt"])
        starts[document["start"]] += 1
        workers[document["workerId"]] += 1

    client.wait_settled()
    assert starts["cold"] <= FUNCTIONS + 2, (starts, workers)
    assert min(workers[name] for name in ("one", "two")) > CALLS / 10
    assert client.redis.xlen("{hearth:0}:publications") == CALLS


def listeners(client: Client) -> int:
    """How many executors listen to one another."""
    ((_, count),) = client.redis.pubsub_numsub("hearth:executors")
    return int(count)
