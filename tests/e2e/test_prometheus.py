"""Real Prometheus scrapes the running stack; dashboard and rules ask it for what is there."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack import PROCESSES, Stack, find_free_ports
from tests.e2e.client import Client
from tests.fixtures_stack import MakeStack
from tests.metrics_labels import values_of
from tests.requirements import need

DEPLOY = Path(__file__).parents[2] / "deploy"
BUSY = """
import os, sys
def handler(event, context):
    if event.get("exit"):
        os._exit(3)
    sum(range(2_000_000))
    return event
"""


class Prometheus:
    """A server and what it answers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        url = f"{self.url}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on this machine
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        """What a panel would show."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found


@pytest.fixture
def observed(make_stack: MakeStack, tmp_path: Path) -> Iterator[tuple[Prometheus, Stack, Client]]:
    """A whole stack with the files of deploy/prometheus, scraped more often than they say."""
    need(shutil.which("prometheus") is not None, "prometheus is missing: scripts/setup --test")
    stack, client = make_stack(*PROCESSES, "replay", METRICS_OWN="false")
    (port,) = find_free_ports(1)
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8000", f"127.0.0.1:{stack.settings.metrics_port}")
    (tmp_path / "prometheus.yml").write_text(config.replace("15s", "1s"))
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", tmp_path)
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield Prometheus(port), stack, client
    finally:
        process.kill()  # nobody wants its data
        process.wait(20)


def wait_until_scraped(prometheus: Prometheus, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if prometheus.query("up == 1 and on () hearth_redis_up == 1"):
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "Prometheus did not see the stack"
        time.sleep(0.2)


def read_queries() -> dict[str, str]:
    """Every query of the dashboard, by panel and legend."""
    dashboard = json.loads((DEPLOY / "grafana" / "hearth.json").read_text())
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def find_empty(prometheus: Prometheus) -> list[str]:
    return [
        name
        for name, query in read_queries().items()
        if not prometheus.query(query.replace("$__rate_interval", "30s"))
    ]


def find_unlisted(prometheus: Prometheus) -> set[tuple[str, str, str]]:
    """Label values of our metrics that the closed lists do not have."""
    unlisted = set()
    for series in prometheus.get("series", **{"match[]": '{__name__=~"(hearth|worker)_.+"}'}):
        name = re.sub(r"_(total|bucket|count|sum)$", "", series.pop("__name__"))
        unlisted |= {
            (name, label, value)
            for label, value in series.items()
            if label not in {"instance", "job", "le"} and value not in values_of(name, label)
        }
    return unlisted


def complain(stack: Stack) -> bytes:
    """What promtool says of the endpoint's names and help texts."""
    url = f"http://127.0.0.1:{stack.settings.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: bytes = answer.read()
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, check=False)
    return done.stdout + done.stderr


def test_every_panel_shows_something(observed: tuple[Prometheus, Stack, Client]) -> None:
    """After a few invocations no query of the dashboard is empty, and no label is a surprise."""
    prometheus, stack, client = observed
    wait_until_scraped(prometheus)
    client.deploy("busy", {"main.py": BUSY})
    for number in range(6):
        client.invoke(f"busy-{number}", "busy", memoryMb=256, input={})
    client.invoke("busy-exit", "busy", memoryMb=256, input={"exit": True})

    deadline = time.monotonic() + 30
    while (empty := find_empty(prometheus)) and time.monotonic() < deadline:
        time.sleep(0.5)

    assert [] == empty
    assert set() == find_unlisted(prometheus)
    assert b"" == complain(stack)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {"ok"} == {rule["health"] for rule in rules}
    assert [] == [rule["name"] for rule in rules if rule.get("state") == "firing"]
