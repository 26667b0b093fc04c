"""`make bench`: what the platform adds to one warm invocation, and how many it carries a second.

From the request's append to the publication of its result, through executor, profiler, tuner and
publisher, isolated and measured, on loopback; and what measuring takes of it. Prints a table and
writes bench/results.json with the machine and the versions. Not here: SQS and the documents in S3
(the stand-in would be measured, not Hearth).
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from local.stack import Stack, local_environment
from shared.aws import make_client
from shared.codec import encode
from shared.events import Code, InvocationRequested, Runtime, derive_event_id
from shared.topology import PUBLICATIONS, REQUESTS, key

RESULTS = Path(__file__).parent / "results.json"
_SECONDS_MAX = 120
HANDLER = "def handler(event, context):\n    return None\n"
PROCESSES = ("local", "executor", "profiler", "tuner")


def make_request(name: str, bucket: str) -> bytes:
    """A request for the no-op function, as ingest would append it."""
    return encode(
        InvocationRequested(
            event_id=derive_event_id(name, "InvocationRequested"),
            invocation_id=name,
            causation_id=name,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id="noop",
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code=Code(bucket=bucket, key="noop.zip"),
            memory_mb=1_769,
            timeout_ms=30_000,
        )
    )


def start(
    folder: Path, sandbox: str, sandboxes: int, settings: Mapping[str, str] | None = None
) -> Stack:
    """A stack without ingest, and the no-op function in S3."""
    stack = Stack(
        {
            **local_environment(folder),
            "SANDBOX": sandbox,
            "SANDBOXES_MAX": str(sandboxes),
            "CODE_CHECK_SECONDS": "3600",
            "LOG_LEVEL": "WARNING",
            **(settings or {}),
        },
        log_path=folder / "stack.log",
    )
    stack.start(*PROCESSES)
    stack.start_program("publisher", "bench.publisher_without_s3")
    stack.wait_local()
    archive = folder / "noop.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("main.py", HANDLER)
    s3 = make_client(stack.settings, "s3")
    s3.put_object(Bucket=stack.settings.code_bucket, Key="noop.zip", Body=archive.read_bytes())
    return stack


def measure_latency(stack: Stack, runs: int, tag: str) -> list[float]:
    """Milliseconds from append to publication, one at a time."""
    client: Any = redis.Redis.from_url(stack.settings.redis_address)
    pubsub = client.pubsub()
    pubsub.psubscribe("result:*")
    pubsub.get_message(timeout=5)
    times = []
    for number in range(runs):
        payload = make_request(f"{tag}-{number}", stack.settings.code_bucket)
        began = time.perf_counter()
        client.xadd(key(REQUESTS, 0), {"event": payload})
        while pubsub.get_message(timeout=60) is None:
            pass
        times.append((time.perf_counter() - began) * 1000)
    return times


def measure_throughput(stack: Stack, count: int, tag: str) -> float:
    """Invocations a second, `count` of them queued at once."""
    client: Any = redis.Redis.from_url(stack.settings.redis_address)
    pubsub = client.pubsub()
    pubsub.psubscribe("result:*")
    pubsub.get_message(timeout=5)
    publications = key(PUBLICATIONS, 0)
    before = client.xlen(publications)
    payloads = [make_request(f"{tag}-{n}", stack.settings.code_bucket) for n in range(count)]
    began = time.perf_counter()
    for chunk in range(0, count, 500):
        with client.pipeline(transaction=False) as pipe:
            for payload in payloads[chunk : chunk + 500]:
                pipe.xadd(key(REQUESTS, 0), {"event": payload})
            pipe.execute()
    deadline = time.monotonic() + _SECONDS_MAX
    while (done := client.xlen(publications)) < before + count:
        assert time.monotonic() < deadline, f"{before + count - done} results did not come"
        time.sleep(0.005)
    return count / (time.perf_counter() - began)


def describe_machine() -> dict[str, str]:
    """Where the figures were made."""

    def ask(*command: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return ""
        return done.stdout.strip()

    return {
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis-py": redis.__version__,
        "redis": ask("redis-server", "--version").partition("v=")[2].partition(" ")[0],
        "docker": ask("docker", "version", "--format", "{{.Server.Version}}"),
        "commit": ask("git", "rev-parse", "--short", "HEAD"),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--sandboxes", type=int, default=8)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--count", type=int, default=12_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        start(Path(folder), given.sandbox, given.sandboxes) as stack,
    ):
        measure_latency(stack, 100, "warmup-one")
        times = sorted(measure_latency(stack, given.runs, "one"))
        rows["warm_overhead_ms_p50"] = round(statistics.median(times), 3)
        rows["warm_overhead_ms_p99"] = round(times[int(len(times) * 0.99)], 3)
        measure_throughput(stack, 500, "warmup")
        rows["invocations_per_second"] = round(measure_throughput(stack, given.count, "many"))
    # Imported only now: it takes its request from here.
    measuring = importlib.import_module("bench.measuring").measure(given.sandbox, 2_000)
    rows |= {name: measuring[name] for name in ("measuring_ms_p50", "readings_ms_p50")}
    result = {
        "machine": describe_machine(),
        "sandbox": given.sandbox,
        "sandboxes": given.sandboxes,
        "runs": given.runs,
        "count": given.count,
        **rows,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result) if given.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
