"""One running stack, looked at by real Prometheus and by a receiver of traces."""

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.stack import PROCESSES, Stack, find_free_ports
from tests.e2e.client import Client
from tests.fixtures_stack import stack_maker
from tests.metrics_labels import values_of
from tests.otlp_receiver import Receiver, running_receiver
from tests.requirements import need
from traces.spans import derive_trace_id

DEPLOY = Path(__file__).parents[2] / "deploy"
SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
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


@dataclass(frozen=True)
class Observed:
    """A running stack and who looks at it."""

    prometheus: Prometheus
    stack: Stack
    client: Client
    receiver: Receiver


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A whole stack with the files of deploy/prometheus, scraped more often than they say."""
    need(shutil.which("prometheus") is not None, "prometheus is missing: scripts/setup --test")
    folder = tmp_path_factory.mktemp("observed")
    with stack_maker(folder) as make_stack, running_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.server.server_port}"
        stack, client = make_stack(
            *PROCESSES, "replay", "traces", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint
        )
        with running_prometheus(folder, stack) as prometheus:
            yield Observed(prometheus, stack, client, receiver)


@contextmanager
def running_prometheus(folder: Path, stack: Stack) -> Iterator[Prometheus]:
    """A server on a free port that scrapes the stack."""
    (port,) = find_free_ports(1)
    config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8000", f"127.0.0.1:{stack.settings.metrics_port}")
    (folder / "prometheus.yml").write_text(config.replace("15s", "1s"))
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", folder)
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield Prometheus(port)
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


def test_every_panel_shows_something(observed: Observed) -> None:
    """After a few invocations no query of the dashboard is empty, and no label is a surprise."""
    prometheus, client = observed.prometheus, observed.client
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
    assert b"" == complain(observed.stack)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {"ok"} == {rule["health"] for rule in rules}
    assert [] == [rule["name"] for rule in rules if rule.get("state") == "firing"]


def test_an_invocation_is_one_trace(observed: Observed) -> None:
    """Through all stages, with its phases; a sender's trace goes on; a refusal loses nothing."""
    client, receiver = observed.client, observed.receiver
    slow = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 1 / event\n"
    client.deploy("slow", {"main.py": slow})

    client.invoke("traced-1", "slow", input=1)
    client.invoke("traced-2", "slow", input=0, traceparent=SENDER)
    client.invoke("traced-3", "slow", input=1, traceparent=SENDER[:-2] + "00")  # not sampled
    client.invoke("traced-4", "slow", input=1)
    wanted = [derive_trace_id(f"traced-{number}").to_bytes(16) for number in (1, 4)]
    traces = receiver.wait([*wanted, bytes.fromhex(SENDER[3:35])])

    of_first = traces[derive_trace_id("traced-1").to_bytes(16)]
    of_second = traces[bytes.fromhex(SENDER[3:35])]
    assert derive_trace_id("traced-3").to_bytes(16) not in traces
    assert "traced-3" not in str(of_second)
    assert {"hearth"} == receiver.services
    assert {
        "invocation slow",
        "queued",
        "sandbox",
        "init",
        "run",
        "profile",
        "tune",
        "publish",
    } <= (set(of_first))
    assert "sandbox" not in of_second
    assert bytes.fromhex(SENDER[36:52]) == of_second["invocation slow"].parent_span_id
    assert "ZeroDivisionError" in of_second["run"].status.message
    root, run = of_first["invocation slow"], of_first["run"]
    assert root.span_id == run.parent_span_id
    assert 50_000_000 < run.end_time_unix_nano - run.start_time_unix_nano < 5_000_000_000
    assert root.start_time_unix_nano <= run.start_time_unix_nano
    assert run.end_time_unix_nano <= root.end_time_unix_nano
