"""From SQS to S3 and pub/sub with a plain client, on each kind of sandbox."""

import json
import re
import time
import urllib.request
from typing import Any

import pytest

from local.stack import Stack
from shared.topology import KEY_PATTERNS
from tests.e2e.client import Client

Running = tuple[Stack, Client]

COUNTER = """
calls = 0

def handler(event, context):
    global calls
    calls += 1
    print("call", calls)
    return {"calls": calls, "echo": event}
"""

DOCUMENT_FIELDS = {
    "requestId", "functionId", "status", "output", "error", "durationMs", "start", "attempt",
    "workerId", "phases", "resources", "autoTuner", "logs", "logsTruncated", "outputFiles",
}  # fmt: skip
RESOURCE_FIELDS = {
    "memoryUsedMb", "memoryLimitMb", "memoryAccuracy", "cpuUsagePercent", "cpuUserMicros",
    "cpuSystemMicros", "throttledMicros", "networkRxBytes", "networkTxBytes", "diskReadBytes",
    "diskWriteBytes",
}  # fmt: skip
TUNER_FIELDS = {"recommendation", "savings", "monthlySavingsUsd", "confidence", "findings", "tip"}


def read_counters(stack: Stack) -> dict[str, float]:
    """Every metric of the node, labels and all."""
    url = f"http://127.0.0.1:{stack.settings.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = (re.match(r"(\S+?(?:\{.*\})?) (\S+)$", line) for line in lines if line[:1] != "#")
    return {match[1]: float(match[2]) for match in found if match}


def total(counters: dict[str, float], name: str, label: str = "") -> float:
    """The sum of a counter over its labels."""
    return sum(
        value
        for key, value in counters.items()
        if re.match(rf"{name}(\{{|$)", key) and label in key
    )


def test_a_message_becomes_a_document(running: Running) -> None:
    """The message of the README gives the document of the README, twice over, and settles."""
    _, client = running
    client.deploy("counter", {"main.py": COUNTER})

    heard = client.invoke("req-a", "counter", memoryMb=128, input={"n": [1, "ä", None]})

    assert heard == client.stored("req-a")
    assert set(heard) >= DOCUMENT_FIELDS
    assert set(heard["resources"]) >= RESOURCE_FIELDS
    assert set(heard["autoTuner"]) >= TUNER_FIELDS
    assert heard["status"] == "SUCCESS"
    assert heard["output"] == {"calls": 1, "echo": {"n": [1, "ä", None]}}
    start, printed, end, report = heard["logs"].splitlines()
    assert start == "START RequestId: req-a Version: $LATEST"
    assert (printed, end) == ("call 1", "END RequestId: req-a")
    assert f"\tMax Memory Used: {heard['resources']['memoryUsedMb']} MB\t" in report
    assert heard["error"] is None
    assert heard["start"] == "cold"
    assert heard["attempt"] == 1
    assert heard["resources"]["memoryLimitMb"] == 128
    assert 0 < heard["resources"]["memoryUsedMb"] < 128
    assert heard["resources"]["cpuUserMicros"] + heard["resources"]["cpuSystemMicros"] > 0
    client.wait_settled()
    assert client.redis.ttl("job:req-a") > 0


def read_settled_counters(stack: Stack) -> dict[str, float]:
    """The counters once the pool has replaced the generic sandbox that a first call took."""
    counters = read_counters(stack)
    while True:
        time.sleep(1.5)  # longer than a sandbox takes to start
        earlier, counters = counters, read_counters(stack)
        if total(earlier, "hearth_sandbox_api_calls_total") == total(
            counters, "hearth_sandbox_api_calls_total"
        ):
            return counters


def test_the_second_call_is_warm_and_touches_neither_docker_nor_s3_for_code(
    running: Running,
) -> None:
    """A module-level counter goes on; the executor's calls to Docker and S3 are counted."""
    stack, client = running
    client.deploy("warm", {"main.py": COUNTER})
    client.invoke("warm-1", "warm")
    before = read_settled_counters(stack)

    second = client.invoke("warm-2", "warm")

    after = read_counters(stack)
    assert (second["start"], second["output"]["calls"]) == ("warm", 2)
    for name, label in (
        ("hearth_sandbox_api_calls_total", ""),
        ("hearth_code_fetches_total", ""),
        ("hearth_sandbox_starts_total", ""),
        ("hearth_aws_call_duration_seconds_count", 'stage="executor"'),
    ):
        assert total(before, name, label) == total(after, name, label), name
    assert total(after, "worker_jobs_processed_total") == 1 + total(
        before, "worker_jobs_processed_total"
    )


def test_the_peak_is_of_this_invocation(running: Running) -> None:
    """200 MiB in one warm call, 5 MiB in the next of the same sandbox: the second is small."""
    _, client = running
    source = """
import os

def handler(event, context):
    block = bytearray(event["mib"] << 20)
    block[::4096] = b"x" * len(block[::4096])
    return os.getpid()
"""
    client.deploy("peak", {"main.py": source})

    large = client.invoke("peak-1", "peak", memoryMb=512, input={"mib": 200})
    small = client.invoke("peak-2", "peak", memoryMb=512, input={"mib": 5})

    assert large["output"] == small["output"]
    assert small["start"] == "warm"
    assert large["resources"]["memoryUsedMb"] >= 200
    assert small["resources"]["memoryUsedMb"] < 40
    assert small["resources"]["memoryAccuracy"] == "exact"


def test_the_advice_for_a_wasteful_function(running: Running) -> None:
    """Memory 512 MB, peak 45 MB: 128MB, savings 75.0, and the waste finding."""
    _, client = running
    source = """
import time

KEPT = bytearray(36 << 20)
KEPT[::4096] = b"x" * len(KEPT[::4096])

def handler(event, context):
    time.sleep(0.05)
    return len(KEPT)
"""
    client.deploy("waste", {"main.py": source})
    client.invoke("waste-1", "waste", memoryMb=512)

    document = client.invoke("waste-2", "waste", memoryMb=512)

    advice = document["autoTuner"]
    assert 40 <= document["resources"]["memoryUsedMb"] <= 55
    assert advice["recommendation"] == "128MB"
    assert advice["savings"] == 75.0
    assert "resource_waste" in advice["findings"]
    assert advice["confidence"] == "low"
    assert advice["monthlySavingsUsd"] > 0
    assert "128 MB" in advice["tip"]


def test_timeout_crash_and_out_of_memory_are_told_apart(running: Running) -> None:
    """Three ways to die, three statuses, and the next call of the function works."""
    _, client = running
    source = """
import os, time

def handler(event, context):
    if event == "sleep":
        time.sleep(60)
    if event == "exit":
        os._exit(3)
    if event == "eat":
        eaten = [bytearray(b"x" * (8 << 20)) for _ in range(100)]
    return "alive"
"""
    client.deploy("dies", {"main.py": source})
    calls = [("sleep", "TIMEOUT"), ("exit", "CRASHED"), ("eat", "OUT_OF_MEMORY"), ("", "SUCCESS")]

    documents = [
        client.invoke(f"dies-{event or 'not'}", "dies", input=event, timeoutMs=3_000, memoryMb=256)
        for event, _ in calls
    ]

    assert [status for _, status in calls] == [one["status"] for one in documents]
    assert "3.00 seconds" in documents[0]["error"]["message"]
    assert "exit status 3" in documents[1]["error"]["message"]
    assert "256 MB" in documents[2]["error"]["message"]
    assert documents[0]["durationMs"] >= 3_000


BAD_FUNCTIONS: dict[str, tuple[dict[str, str], str, str]] = {
    "no-import": ({"main.py": "import nowhere_to_be_found\n"}, "FAILED", "nowhere_to_be_found"),
    "no-handler": ({"main.py": "def run(event, context): pass\n"}, "FAILED", "handler"),
    "no-module": ({"other.py": "x = 1\n"}, "FAILED", "main"),
    "bad-syntax": ({"main.py": "def handler(event, context:\n"}, "FAILED", "main.py"),
    "not-json": (
        {"main.py": "def handler(event, context): return {1, 2}\n"},
        "FAILED",
        "JSON",
    ),
    "nan": ({"main.py": "def handler(event, context): return float('nan')\n"}, "FAILED", "JSON"),
    "too-large": (
        {"main.py": "def handler(event, context): return 'x' * (7 << 20)\n"},
        "FAILED",
        "6291556",
    ),
}


@pytest.mark.parametrize("name", BAD_FUNCTIONS)
def test_bad_functions_get_a_typed_result(running: Running, name: str) -> None:
    """What the function does wrong is said in words that tell what to mend."""
    _, client = running
    files, status, word = BAD_FUNCTIONS[name]
    client.deploy(name, files)

    document = client.invoke(f"bad-{name}", name)

    assert document["status"] == status
    assert word in document["error"]["message"]
    assert document["output"] is None


def test_six_megabytes_of_output_lie_in_s3(running: Running) -> None:
    """Up to Lambda's limit an output is a success; the document names where it lies."""
    _, client = running
    client.deploy("six", {"main.py": "def handler(event, context): return 'x' * 6_000_000\n"})

    document = client.invoke("six-1", "six", memoryMb=256)

    assert (document["status"], document["output"]) == ("SUCCESS", None)
    place = document["outputS3"]
    body = client.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    assert json.loads(body) == "x" * 6_000_000


BAD_MESSAGES: dict[str, tuple[dict[str, Any], str]] = {
    "runtime": ({"runtime": "cobol"}, "runtime"),
    "no-bootstrap": ({"runtime": "provided.al2023"}, "s3Key"),
    "env-large": ({"envVars": {"A": "x" * 65_536}}, "envVars"),
    "input-s3": ({"inputS3": {"bucket": "b", "key": "k"}}, "inputS3"),
    "memory-small": ({"memoryMb": 64}, "memoryMb"),
    "memory-large": ({"memoryMb": 20_000}, "memoryMb"),
    "timeout": ({"timeoutMs": 9_000_000}, "timeoutMs"),
    "no-object": ({"s3Key": "functions/nowhere.zip"}, "s3"),
    "env": ({"envVars": {"A": 1}}, "envVars"),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_messages_are_rejected_in_words(running: Running, name: str) -> None:
    """REJECTED, with the field that the sender must mend."""
    _, client = running
    fields, word = BAD_MESSAGES[name]
    client.deploy("counter", {"main.py": COUNTER})

    document = client.invoke(f"rejected-{name}", "counter", **fields)

    assert document["status"] == "REJECTED"
    assert word in document["error"]["message"]
    assert client.stored(f"rejected-{name}") == document


def test_every_key_in_redis_is_a_documented_one(running: Running) -> None:
    """Whatever a run leaves in Redis is in the table of docs/operations.md."""
    _, client = running
    client.deploy("keys", {"main.py": COUNTER})
    client.invoke("keys-1", "keys")
    names = {"P": r"\d+", "REQUEST_ID": r"[\w.:-]+", "STAGE": "[a-z]+"}
    patterns = [
        re.compile(re.sub("|".join(names), lambda match: names[match[0]], re.escape(pattern)))
        for pattern in KEY_PATTERNS
    ]

    unknown = [
        key
        for key in client.redis.scan_iter()
        if not any(pattern.fullmatch(key) for pattern in patterns)
    ]

    assert unknown == []


def test_what_is_not_json_goes_to_the_dead_and_the_queue_goes_on(running: Running) -> None:
    """One bad message never blocks the queue."""
    _, client = running
    before = client.redis.xlen("{hearth:0}:dead")
    client.deploy("after", {"main.py": COUNTER})

    client.send_body("this is { not JSON")
    document = client.invoke("after-1", "after")

    assert document["status"] == "SUCCESS"
    client.wait_settled()
    letters = client.redis.xrange("{hearth:0}:dead")
    assert len(letters) == before + 1
    assert "JSON" in letters[-1][1]["event"]


def test_a_duplicate_message_has_no_second_run_and_no_second_result(running: Running) -> None:
    """The same request id, sent three times: during the run and after it."""
    _, client = running
    source = "import time\ndef handler(event, context):\n    time.sleep(1)\n    print('ran')\n"
    client.deploy("slow", {"main.py": source})
    client.send("twin", "slow")
    client.send("twin", "slow")
    client.wait(["twin"])

    client.send("twin", "slow")
    client.wait_settled()
    client.pump(0.5)

    assert len(client.published["twin"]) == 1
    assert client.published["twin"][0]["logs"].count("\nran\n") == 1


def test_reply_to_hears_the_result_too(running: Running) -> None:
    """`replyTo` names one more channel."""
    _, client = running
    client.deploy("reply", {"main.py": COUNTER})
    client.pubsub.subscribe("my-answers")

    client.send("reply-1", "reply", replyTo="my-answers")
    channels: list[str] = []
    while len(channels) < 2:
        message = client.pubsub.get_message(timeout=20)
        assert message is not None
        if message["type"] in ("message", "pmessage"):
            channels.append(message["channel"])

    assert sorted(channels) == ["my-answers", "result:reply-1"]
    client.pubsub.unsubscribe("my-answers")


def test_env_vars_reach_the_function_and_make_it_another_sandbox(running: Running) -> None:
    """Two environments never share a process."""
    _, client = running
    source = "import os\ndef handler(event, context): return [os.environ['WHO'], os.getpid()]\n"
    client.deploy("env", {"main.py": source})

    first = client.invoke("env-1", "env", envVars={"WHO": "a"})
    second = client.invoke("env-2", "env", envVars={"WHO": "b"})

    assert [first["output"][0], second["output"][0]] == ["a", "b"]
    assert second["start"] == "cold"


def test_a_long_run_outlives_the_visibility_timeout_and_runs_once(running: Running) -> None:
    """The lease is extended while the function runs: 5 s of work, 3 s of visibility."""
    _, client = running
    source = "import time\ndef handler(event, context):\n    time.sleep(5)\n    print('ran')\n"
    client.deploy("long", {"main.py": source})

    document = client.invoke("long-1", "long")
    client.wait_settled()

    assert (document["logs"].count("\nran\n"), document["attempt"]) == (1, 1)
    assert len(client.published["long-1"]) == 1


def test_a_function_that_leaves_its_memory_to_the_tuner_gets_more_where_it_is_short(
    running: Running,
) -> None:
    """With `memoryMb: "auto"` the next call has the limit that the tuner set after the first."""
    _, client = running
    client.deploy("auto", {"main.py": "def handler(event, context): len(bytearray(105 << 20))\n"})

    first = client.invoke("auto-1", "auto", memoryMb="auto")
    second = client.invoke("auto-2", "auto", memoryMb="auto")

    assert (first["status"], first["resources"]["memoryLimitMb"]) == ("SUCCESS", 128)
    granted_mb = second["resources"]["memoryLimitMb"]
    assert f"{granted_mb}MB" == first["autoTuner"]["recommendation"]
    assert granted_mb > 128
