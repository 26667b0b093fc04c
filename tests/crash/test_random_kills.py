"""Random stages are killed at random moments under load: each invocation has exactly one result."""

import os
import random
import signal
import time
from collections import Counter
from typing import Any

import redis

from local.stack import STAGES
from tests.fixtures_stack import MakeStack

COUNT = 200
KILLS = 15
SEED = 20_261_123


def test_random_kills_of_stages_and_redis(make_stack: MakeStack) -> None:
    """Fifteen kills among the five stages and redis-server; duplicates are sent on the way."""
    chance = random.Random(SEED)
    stack, client = make_stack()
    client.deploy("f", {"main.py": "def handler(event, context):\n    return event\n"})
    names = [f"req-{number}" for number in range(COUNT)]
    moments = sorted(chance.sample(range(10, COUNT - 10), KILLS))
    for number, name in enumerate(names):
        client.send(name, "f", input=number)
        if chance.random() < 0.1:
            client.send(chance.choice(names[: number + 1]), "f", input=number)
        if number in moments:
            victim = chance.choice([*STAGES, "redis"])
            if victim == "redis":
                os.kill(client.redis.info("server")["process_id"], signal.SIGKILL)
                time.sleep(0.3)
            else:
                stack.kill(victim)
                stack.start(victim)

    documents = client.wait_kept(names, seconds=120)

    assert names == [one["requestId"] for one in documents]
    assert {"SUCCESS"} == {one["status"] for one in documents}
    client.wait_settled(seconds=60)
    log: Any = redis.Redis(port=client.redis_port)
    published = Counter(
        fields[b"event"].split(b'"invocation_id":"')[1].split(b'"')[0].decode()
        for _, fields in log.xrange("{hearth:0}:publications")
    )
    assert Counter(names) == published
    assert log.xlen("{hearth:0}:dead") == 0
