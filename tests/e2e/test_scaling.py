"""Several executors share the work; SIGTERM drains; honcho runs it all from the Procfile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.stack import Stack, local_environment
from shared.settings import Settings
from tests.e2e.client import Client
from tests.fixtures_stack import SOON, MakeStack, make_client

ROOT = Path(__file__).parent.parent.parent
SLOW = """
import time

def handler(event, context):
    time.sleep(event)
    return context.aws_request_id
"""


def test_two_executors_share_and_one_drains(make_stack: MakeStack) -> None:
    """SIGTERM in the middle of the work: it ends clean, nothing runs twice, nothing is lost."""
    stack, client = make_stack("ingest", "profiler", "tuner", "publisher", "metrics")
    for name in ("one", "two"):
        stack.environment = {**stack.environment, "WORKER_ID": name, "SANDBOXES_MAX": "4"}
        stack.start("executor")
    client.deploy("slow", {"main.py": SLOW})
    names = [f"slow-{number}" for number in range(24)]
    for name in names:
        client.send(name, "slow", input=0.5)
    client.wait(names[:4])
    leaving = stack.find("executor")
    leaving.terminate()

    documents = client.wait(names)

    assert leaving.wait(30) == 0
    assert names == [one["output"] for one in documents]
    assert {"SUCCESS"} == {one["status"] for one in documents}
    assert {1} == {one["attempt"] for one in documents}
    assert {"one", "two"} == {one["workerId"] for one in documents}
    client.wait_settled()
    assert {1} == {len(client.published[name]) for name in names}


def test_a_stopped_stage_leaves_no_consumer_behind(make_stack: MakeStack) -> None:
    """Stages that end in good order leave their groups: names do not pile up in Redis."""
    stack, client = make_stack()
    client.deploy("slow", {"main.py": SLOW})
    client.invoke("one", "slow", input=0)
    client.wait_settled()

    stack.terminate(["ingest", "executor", "profiler", "tuner", "publisher"])

    groups = [
        group
        for key in client.redis.scan_iter("{hearth:*}:*", _type="stream")
        for group in client.redis.xinfo_groups(key)
    ]
    assert len(groups) == 6
    assert {0} == {group["consumers"] for group in groups}


@pytest.mark.parametrize("concurrency", [(), ("-c", "executor=2")])
def test_honcho_runs_the_stack(tmp_path: Path, concurrency: tuple[str, ...]) -> None:
    """`honcho start` as a person types it; SIGTERM ends everything within seconds."""
    environment = {**local_environment(tmp_path), **SOON, "SANDBOX": "bubblewrap"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in Settings.__struct_fields__
    }
    with (tmp_path / "honcho.log").open("wb") as log:
        honcho = subprocess.Popen(
            [Path(sys.executable).parent / "honcho", "start", *concurrency],
            cwd=ROOT,
            env={**inherited, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        stack = Stack(environment)
        stack.wait_local(60)
        stack.wait_healthy(60)
        client: Client = make_client(stack)
        client.deploy("slow", {"main.py": SLOW})
        names = [f"slow-{number}" for number in range(12)]
        for name in names:
            client.send(name, "slow", input=0.2)
        assert names == [one["output"] for one in client.wait(names)]
        client.wait_settled()
        consumers = client.redis.xinfo_consumers("{hearth:0}:requests", "executor")
        assert len(consumers) == (2 if concurrency else 1)
    finally:
        honcho.send_signal(signal.SIGTERM)
        began = time.monotonic()
        honcho.wait(20)
        print((tmp_path / "honcho.log").read_text()[-4_000:])
    assert time.monotonic() - began < 15
    assert not living_processes_of(tmp_path)


def living_processes_of(folder: Path) -> list[str]:
    """Command lines of processes that still have the folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found
