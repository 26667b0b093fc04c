"""Functions that speak the Runtime API, from SQS to the document, on each kind of sandbox."""

import time
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from shared.events import Runtime
from tests.contract.sandboxes import need_compiler, need_kind
from tests.e2e.client import Client
from tests.lambda_clients import GO_SOURCE

Running = tuple[Stack, Client]

pytestmark = pytest.mark.timeout(180)
EXAMPLES = Path(__file__).parents[2] / "examples"


def need_runtime(stack: Stack, runtime: Runtime) -> None:
    if runtime is Runtime.GO:
        need_compiler(stack.settings.sandbox)
    need_kind(stack.settings.sandbox, runtime)


def deploy_go(client: Client) -> str:
    """The program of the client tests; the same archive each time, so it is compiled once."""
    key = "functions/go-client.zip"
    if not client.s3.list_objects_v2(Bucket=client.code_bucket, Prefix=key).get("Contents"):
        client.deploy("go-client", {"main.go": GO_SOURCE.read_text()})
    return key


def test_the_provided_example(running: Running) -> None:
    """Lambda's name of the runtime; a bootstrap that is used again."""
    stack, client = running
    need_runtime(stack, Runtime.PROVIDED)
    client.deploy_folder("hello-provided", EXAMPLES / "provided/hello")

    first, second = [
        client.invoke(
            f"provided-{number}",
            "hello-provided",
            runtime="provided.al2023",
            input={"name": "Ada"},
        )
        for number in (1, 2)
    ]

    assert ("SUCCESS", "cold", "warm") == (first["status"], first["start"], second["start"])
    assert {"greeting": "Hello, Ada!", "calls": 2} == second["output"]
    assert "greeting Ada\n" in second["logs"]
    assert 0 < second["resources"]["memoryUsedMb"] < 32
    assert "exact" == second["resources"]["memoryAccuracy"]


def test_the_go_example_is_compiled_once(running: Running) -> None:
    """Sources in the archive; the second sandbox finds them compiled."""
    stack, client = running
    need_runtime(stack, Runtime.GO)
    client.deploy_folder("hello-go", EXAMPLES / "go/hello")
    calls = {"first": {}, "warm": {}, "other": {"envVars": {"ANOTHER": "sandbox"}}}

    first, warm, other = [
        client.invoke(f"go-{name}", "hello-go", runtime="go1.x", input={"name": "Ada"}, **more)
        for name, more in calls.items()
    ]

    assert ("SUCCESS", {"greeting": "Hello, Ada!", "calls": 1}) == (
        first["status"],
        first["output"],
    )
    assert ("warm", 2) == (warm["start"], warm["output"]["calls"])
    assert ("cold", 1) == (other["start"], other["output"]["calls"])
    assert first["phases"]["codeMs"] > 200 > other["phases"]["codeMs"]


@pytest.mark.parametrize(
    ("name", "runtime", "files", "expected"),
    [
        ("no-go", "go", {"main.go": "package main\nfunc main() { oops() }\n"}, "undefined: oops"),
        ("nothing-go", "go", {"readme": ""}, "neither a compiled bootstrap nor Go sources"),
        ("nothing", "provided", {"main.py": ""}, "no executable file named bootstrap"),
        ("not-executable", "provided", {"bootstrap": ""}, "chmod +x bootstrap"),
    ],
)
def test_what_cannot_run_is_rejected(
    running: Running, name: str, runtime: str, files: dict[str, str], expected: str
) -> None:
    """With the compiler's words, or with what to put into the archive."""
    stack, client = running
    need_runtime(stack, Runtime(runtime))
    client.deploy(name, files)

    document = client.invoke(f"{name}-1", name, runtime=runtime, input={})

    assert ("REJECTED", True) == (document["status"], expected in document["error"]["message"])


def test_endings(running: Running) -> None:
    """Each has its status; who may not go on is replaced, and no call meets another's end."""
    stack, client = running
    need_runtime(stack, Runtime.GO)
    key = deploy_go(client)
    calls: list[tuple[dict[str, Any], str, str | None]] = [
        ({"do": "calls"}, "SUCCESS", None),
        ({"do": "error"}, "FAILED", "Refusal"),
        ({"do": "calls"}, "SUCCESS", None),
        ({"do": "panic, please"}, "FAILED", "errorString"),
        ({"do": "calls"}, "SUCCESS", None),
        ({"do": "sleep", "count": 60_000}, "TIMEOUT", "Sandbox.Timedout"),
        ({"do": "exit", "count": 3}, "CRASHED", "Runtime.ExitError"),
        ({"do": "break off"}, "FAILED", "Function.BrokeOff"),
        ({"do": "large", "count": 6_291_557}, "FAILED", "Function.ResponseSizeTooLarge"),
        ({"do": "hang after"}, "SUCCESS", None),
        ({"do": "calls"}, "SUCCESS", None),
    ]

    # A whole core: its processes are ready for the next call at once.
    more = {"runtime": "go", "s3Key": key, "memoryMb": 1_769, "timeoutMs": 3_000}
    documents = [
        client.invoke(f"odd-{number}", "odd-go", **more, input=event)
        for number, (event, _, _) in enumerate(calls)
    ]

    assert [(status, kind) for _, status, kind in calls] == [
        (one["status"], one["error"] and one["error"]["type"]) for one in documents
    ]
    # The first calls of new processes: after the panic, and after the one that hangs.
    assert [1, 1, 1] == [documents[index]["output"] for index in (0, 4, 10)]
    assert "cold" == documents[4]["start"] == documents[10]["start"]


def test_the_largest_output(running: Running) -> None:
    """Six mebibytes and a hundred bytes, which go to S3."""
    stack, client = running
    need_runtime(stack, Runtime.GO)
    key = deploy_go(client)
    size = 6 * 1024 * 1024 + 100

    document = client.invoke(
        "large-1", "large-go", runtime="go", s3Key=key, input={"do": "large", "count": size}
    )

    assert "SUCCESS" == document["status"]
    place = document["outputS3"]
    stored = client.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    assert size == len(stored)


def test_a_process_that_hangs_is_let_go(running: Running) -> None:
    """Its answer stands; two seconds later its sandbox is gone and its memory free again."""
    stack, client = running
    need_runtime(stack, Runtime.GO)
    key = deploy_go(client)
    client.invoke("hang-1", "hang-go", runtime="go", s3Key=key, input={"do": "hang after"})

    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        stopped = [entry for _, entry in client.redis.xrange("{hearth:0}:executions")]
        if any('"hang-go"' in str(one) and '"reason":"hung"' in str(one) for one in stopped):
            return
        time.sleep(0.1)
    raise AssertionError("nothing says that the sandbox was stopped")
