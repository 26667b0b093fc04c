"""Each stage is killed at each of its seams: exactly one result, nothing left over."""

import pytest

from local.stack import STAGES
from tests.e2e.client import Client
from tests.fixtures_stack import MakeStack

SEAMS = [
    ("ingest", "before-accept"),
    ("ingest", "after-accept"),
    ("ingest", "before-commit"),
    ("ingest", "after-commit"),
    ("executor", "before-commit"),
    ("executor", "after-commit"),
    ("profiler", "before-commit"),
    ("profiler", "after-commit"),
    ("tuner", "before-commit"),
    ("tuner", "after-commit"),
    ("publisher", "before-commit"),
    ("publisher", "after-commit"),
]

FUNCTION = {"main.py": "def handler(event, context):\n    return {'attempt': context.attempt}\n"}


def assert_exactly_one_result(client: Client, request_id: str) -> None:
    """In pub/sub, in Redis, in S3, in the log; and the queue and the pending lists are empty."""
    client.wait([request_id], seconds=40)
    client.wait_settled(seconds=40)
    client.pump(0.5)
    assert len(client.published[request_id]) == 1
    assert len(client.stored_keys(request_id)) == 1
    assert client.redis.xlen("{hearth:0}:publications") == 1
    assert client.redis.xlen("{hearth:0}:dead") == 0


@pytest.mark.parametrize(("stage", "seam"), SEAMS)
def test_a_stage_killed_at_a_seam(make_stack: MakeStack, stage: str, seam: str) -> None:
    """SIGKILL at the seam, a restart, and there is exactly one result."""
    stack, client = make_stack(*[one for one in STAGES if one != stage])
    client.deploy("f", FUNCTION)
    mortal = stack.start_program(stage, "tests.crash.die", seam, stage)
    client.send("req-1", "f", input={})

    assert mortal.wait(30) == -9
    stack.start(stage)

    assert_exactly_one_result(client, "req-1")
    assert client.published["req-1"][0]["status"] == "SUCCESS"
    attempt = client.published["req-1"][0]["attempt"]
    assert attempt == (2 if (stage, seam) == ("executor", "before-commit") else 1)
