"""A call that lasts three times the visibility time-out, with a real queue and real processes."""

import time

import pytest

from shared.codec import decode
from shared.events import InvocationFinished
from tests.e2e.client import Client
from tests.fixtures_stack import MakeStack

SLEEPER = {
    "main.py": "import time\n"
    "def handler(event, context):\n"
    "    time.sleep(event['seconds'])\n"
    "    return {'attempt': context.attempt}\n"
}


def count_runs(client: Client) -> dict[str, int]:
    """How often each invocation ended, by request id."""
    counts: dict[str, int] = {}
    for _, fields in client.redis.xrange("{hearth:0}:executions"):
        event = decode(fields["event"].encode())
        if isinstance(event, InvocationFinished):
            counts[event.invocation_id] = counts.get(event.invocation_id, 0) + 1
    return counts


@pytest.mark.slow
def test_a_call_longer_than_the_visibility_timeout_runs_once(make_stack: MakeStack) -> None:
    """6 s with a visibility time-out of 2 s: once undisturbed, and once while ingest is killed with
    SIGKILL and started again. One run, one result, no message left.
    """
    stack, client = make_stack(VISIBILITY_TIMEOUT_S="2")
    attributes = client.sqs.get_queue_attributes(
        QueueUrl=client.queue_url, AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"]["VisibilityTimeout"] == "2"
    client.deploy("sleeper", SLEEPER)
    client.send("undisturbed", "sleeper", input={"seconds": 6})
    time.sleep(3)
    client.send("killed", "sleeper", input={"seconds": 6})
    (first,) = client.wait(["undisturbed"], seconds=30)
    stack.kill("ingest")
    stack.start("ingest")
    (second,) = client.wait(["killed"], seconds=30)
    client.wait_settled()

    assert (first["output"], second["output"]) == ({"attempt": 1}, {"attempt": 1})
    assert count_runs(client) == {"undisturbed": 1, "killed": 1}
    assert [len(client.published[one]) for one in ("undisturbed", "killed")] == [1, 1]
