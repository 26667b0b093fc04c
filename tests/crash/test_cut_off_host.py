"""Two hosts on one Redis: one is cut off in the middle of its work and comes back with results."""

import re
import time
from urllib.request import urlopen

import redis

from shared.topology import REQUESTS, key
from tests.crash.hosts import Host, two_hosts
from tests.e2e.client import Client
from tests.fixtures_cluster import wait_until
from tests.fixtures_stack import MakeStack

SLOW = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"
SLOW_S = 2.5


def read_metric(host: Host, port: int, line: str) -> float:
    """A figure of the executor there."""
    with urlopen(f"http://{host.inside}:{port}/metrics", timeout=5) as answer:
        found = re.search(rf"^{re.escape(line)} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def have_both(client: Client) -> bool:
    """Each executor has two invocations in hand."""
    try:
        consumers = client.redis.xinfo_consumers(key(REQUESTS, 0), "executor")
    except redis.ResponseError:  # nothing there yet
        return False
    return [one["pending"] for one in consumers] == [2, 2]


def test_a_cut_off_host_is_replaced_and_its_late_results_are_fenced_off(
    make_stack: MakeStack,
) -> None:
    """What it ran is run by the other; what it brings back is nobody's result any more."""
    with two_hosts() as (one, two):
        stack, client = make_stack(
            "ingest", "profiler", "tuner", "publisher", LOCAL_BIND="0.0.0.0", SANDBOXES_MAX="2"
        )
        inner = stack.environment
        for host, name in ((one, "one"), (two, "two")):
            stack.environment = {
                **inner,
                "WORKER_ID": name,
                "STATE_DIR": f"{inner['STATE_DIR']}-{name}",
                "REDIS_URL": f"redis://{host.outside}:{inner['LOCAL_REDIS_PORT']}/0",
                "AWS_ENDPOINT_URL": f"http://{host.outside}:{inner['LOCAL_AWS_PORT']}",
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "METRICS_OWN": "true",
                "METRICS_BIND": "0.0.0.0",
            }
            host.start(stack, "executor")
        stack.environment = inner
        client.deploy("slow", {"main.py": SLOW})
        names = [f"r{number}" for number in range(4)]
        for name in names:
            client.send(name, "slow", input=SLOW_S)
        wait_until(lambda: have_both(client), "both hosts work")
        time.sleep(1.0)  # their functions run
        two.cut_off()

        documents = client.wait(names)
        two.reconnect()
        port = int(inner["METRICS_PORT"])
        fenced = 'hearth_commits_total{outcome="fenced",stage="executor"}'
        wait_until(lambda: read_metric(two, port, fenced) == 2, "its late results are fenced off")

        assert {"SUCCESS"} == {document["status"] for document in documents}
        assert {"one"} == {document["workerId"] for document in documents}
        assert [1, 1, 2, 2] == sorted(document["attempt"] for document in documents)
        client.wait_settled()
        assert {1} == {len(client.published[name]) for name in names}
        assert client.redis.xlen("{hearth:0}:publications") == 4
        again = [f"again-{number}" for number in range(4)]
        for name in again:
            client.send(name, "slow", input=0.3)
        assert {"one", "two"} == {document["workerId"] for document in client.wait(again)}
        stack.terminate(["executor"])
