"""Node.js functions from SQS to the document, on each kind of sandbox."""

import shutil
from pathlib import Path

from local.stack import Stack
from tests.e2e.client import Client
from tests.requirements import need

Running = tuple[Stack, Client]

EXAMPLES = Path(__file__).parents[2] / "examples/nodejs"
ODD = """
let calls = 0;

export const handler = async (event, context) => {
  calls += 1;
  if (event.mib) Buffer.alloc(event.mib * 2 ** 20, 1);
  if (event.spin) for (;;);
  if (event.exit) process.exit(event.exit);
  if (event.lose) Promise.reject(new TypeError("lost"));
  if (event.eat) for (const eaten = []; ; ) eaten.push(new Array(1e6).fill(calls));
  return { calls, pid: process.pid, attempt: context.attempt };
};
"""


def need_node_for(stack: Stack) -> None:
    """Bubblewrap shows the host's Node.js; Docker has its own."""
    if stack.settings.sandbox == "bubblewrap":
        need(shutil.which("node") is not None, "Node.js is missing: apt-get install nodejs")


def test_the_example_is_called_warm(running: Running) -> None:
    """Lambda's name of the runtime, the default handler, and a process that is used again."""
    stack, client = running
    need_node_for(stack)
    client.deploy("hello-js", {"index.js": (EXAMPLES / "hello/index.js").read_text()})

    first, second = [
        client.invoke(f"js-{number}", "hello-js", runtime="nodejs20.x", input={"name": "Ada"})
        for number in (1, 2)
    ]

    assert ("SUCCESS", "cold", "warm") == (first["status"], first["start"], second["start"])
    assert {"greeting": "Hello, Ada!", "calls": 2} == second["output"]
    assert "greeting Ada" == second["logs"].splitlines()[1]
    # Of it up to 50 are pages of the program's file: whichever sandbox reads it first has them.
    assert 0 < second["resources"]["memoryUsedMb"] < 110
    assert second["resources"]["cpuUserMicros"] + second["resources"]["cpuSystemMicros"] > 0


def test_the_peak_is_of_this_invocation(running: Running) -> None:
    """200 MiB in one call, 5 MiB in the next of the same process: garbage is not counted twice."""
    stack, client = running
    need_node_for(stack)
    client.deploy("peak-js", {"index.mjs": ODD})

    large, small = [
        client.invoke(
            f"peak-js-{mib}", "peak-js", runtime="nodejs", memoryMb=512, input={"mib": mib}
        )
        for mib in (200, 5)
    ]

    assert large["output"]["pid"] == small["output"]["pid"]
    assert "warm" == small["start"]
    assert large["resources"]["memoryUsedMb"] >= 200
    assert small["resources"]["memoryUsedMb"] < 110  # see above
    assert "exact" == small["resources"]["memoryAccuracy"]


def test_ways_to_die_are_told_apart(running: Running) -> None:
    """Each has its status, and a new process serves the next call."""
    stack, client = running
    need_node_for(stack)
    client.deploy("dies-js", {"index.mjs": ODD})
    calls = [
        ({"spin": True}, "TIMEOUT", "Sandbox.Timedout"),
        ({"exit": 3}, "FAILED", "Runtime.ExitError"),
        ({"lose": True}, "FAILED", "Runtime.UnhandledPromiseRejection"),
        ({"eat": True}, "OUT_OF_MEMORY", "Sandbox.OutOfMemory"),
    ]

    documents = [
        client.invoke(
            f"dies-js-{number}",
            "dies-js",
            runtime="nodejs",
            memoryMb=256,
            timeoutMs=3_000,
            input=event,
        )
        for number, (event, _, _) in enumerate(calls)
    ]
    after = client.invoke("dies-js-not", "dies-js", runtime="nodejs", memoryMb=256, input={})

    expected = [(status, kind) for _, status, kind in calls]
    assert expected == [(one["status"], one["error"]["type"]) for one in documents]
    assert ("SUCCESS", "cold", 1) == (after["status"], after["start"], after["output"]["calls"])
