"""Every stage is replaced under load, with events of older versions in flight: nobody notices."""

import json
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from local.stack import STAGES
from shared.codec import decode
from shared.events import InvocationFinished
from shared.topology import DEAD, EXECUTIONS, MODELS, key, stream_of
from tests.e2e.client import Client
from tests.fixtures_stack import MakeStack

GOLDEN = Path(__file__).parent.parent / "golden" / "events"
WITH_RESULT = ("InvocationRequested", "InvocationRejected", "InvocationFinished",
               "InvocationProfiled", "InvocationTuned")  # fmt: skip
# Each sandbox counts its calls: a run whose answer was thrown away would leave a gap.
COUNTING = """
import time, uuid
SANDBOX, calls = uuid.uuid4().hex, 0

def handler(event, context):
    global calls
    calls += 1
    time.sleep(0.05)
    return [SANDBOX, calls]
"""


class Load(threading.Thread):
    """Sends invocations until it is stopped."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._stopped = threading.Event()
        self.names: list[str] = []

    def run(self) -> None:
        """One after the other."""
        while not self._stopped.wait(0.04):
            self.names.append(f"r{len(self.names)}")
            self._client.send(self.names[-1], "counting")

    def stop(self) -> list[str]:
        """The names of all that were sent."""
        self._stopped.set()
        self.join()
        return self.names


def append_old_events(client: Client) -> list[str]:
    """Every event that was ever stored, once more; returns the requests that get a result."""
    names = []
    for file in sorted(GOLDEN.glob("*.json")):
        kind, name = file.stem.split(".")[0], f"old-{file.stem}"
        fields = {**json.loads(file.read_bytes()), "invocation_id": name, "event_id": name}
        if stream_of(kind) is not MODELS:  # written with the state of a tuner, not by hand
            entry: Any = {"event": json.dumps(fields, separators=(",", ":"))}
            client.redis.xadd(key(stream_of(kind), 0), entry)
        if kind in WITH_RESULT:
            names.append(name)
    return names


def count_finished(client: Client) -> dict[str, int]:
    """How often each invocation ended."""
    counts: dict[str, int] = defaultdict(int)
    entries: Any = client.redis.xrange(key(EXECUTIONS, 0))
    for _, fields in entries:
        event = decode(fields["event"].encode())
        if isinstance(event, InvocationFinished):
            counts[event.invocation_id] += 1
    return counts


def test_a_rolling_restart_is_not_noticed(make_stack: MakeStack) -> None:
    """SIGTERM to each stage in turn and a new process: every invocation succeeds and ran once."""
    stack, client = make_stack()
    client.deploy("counting", {"main.py": COUNTING})
    client.invoke("first", "counting")
    load = Load(client)
    load.start()
    old = []
    for place, stage in enumerate(STAGES):
        leaving = stack.find(stage)
        leaving.terminate()
        if place == 1:
            old = append_old_events(client)
        assert leaving.wait(30) == 0, f"{stage} did not end in good order"
        stack.start(stage)
    names = ["first", *load.stop()]

    documents = client.wait_kept(names, seconds=40)
    past = client.wait_kept(old, seconds=20)

    assert {"SUCCESS"} == {document["status"] for document in documents}
    assert {1} == {document["attempt"] for document in documents}
    client.wait_settled(seconds=30)
    finished = count_finished(client)
    assert {1} == {finished[name] for name in names}
    calls = defaultdict(list)
    for document in documents:
        sandbox, number = document["output"]
        calls[sandbox].append(number)
    assert all(sorted(one) == list(range(1, len(one) + 1)) for one in calls.values())
    assert {"FAILED", "REJECTED"} == {document["status"] for document in past}
    put_there = len(list(GOLDEN.glob("DeadLettered.*.json")))  # the old ones
    assert client.redis.xlen(key(DEAD, 0)) == put_there
