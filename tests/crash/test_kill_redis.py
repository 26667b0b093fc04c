"""redis-server is killed under load, again and again: nothing is lost, nothing doubled."""

import os
import signal
import time

import redis

from tests.fixtures_stack import MakeStack

COUNT = 120


def kill_redis(client: redis.Redis) -> None:
    """SIGKILL to the server itself; `local` starts it again on its append-only file."""
    os.kill(client.info("server")["process_id"], signal.SIGKILL)


def test_redis_killed_under_load(make_stack: MakeStack) -> None:
    """Three kills while 120 invocations run: each has exactly one result."""
    _, client = make_stack()
    client.deploy("f", {"main.py": "def handler(event, context):\n    return event\n"})
    names = [f"req-{number}" for number in range(COUNT)]
    for number, name in enumerate(names):
        client.send(name, "f", input=number)
        if number in (30, 60, 90):
            kill_redis(client.redis)
            time.sleep(0.3)

    documents = client.wait_kept(names, seconds=90)

    assert list(range(COUNT)) == [one["output"] for one in documents]
    client.wait_settled(seconds=60)
    assert client.redis.xlen("{hearth:0}:publications") == COUNT
    assert client.redis.xlen("{hearth:0}:dead") == 0
    assert all(len(client.stored_keys(name)) == 1 for name in names[:5])
