"""What the platform adds to one warm invocation, and how many it carries a second.

From the request's append to the publication of its result, through executor, profiler, tuner and
publisher, isolated and measured, on loopback. Not here: SQS and the documents in S3 (the stand-in
would be measured, not Hearth).
"""

import statistics
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

_SECONDS_MAX = 120
HANDLER = "def handler(event, context):\n    return None\n"
HANDLERS = {
    "noop": HANDLER,
    "five_ms": "import time\ndef handler(event, context):\n    time.sleep(0.005)\n",
}
PROCESSES = ("local", "profiler", "tuner")


def make_request(name: str, bucket: str, function_id: str = "noop") -> bytes:
    """A request for one of the functions, as ingest would append it."""
    return encode(
        InvocationRequested(
            event_id=derive_event_id(name, "InvocationRequested"),
            invocation_id=name,
            causation_id=name,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id=function_id,
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code=Code(bucket=bucket, key=f"{function_id}.zip"),
            memory_mb=1_769,
            timeout_ms=30_000,
        )
    )


def start(
    folder: Path,
    sandbox: str,
    sandboxes: int,
    settings: Mapping[str, str] | None = None,
    executor: tuple[str, ...] = ("cli.main", "run", "executor"),
) -> Stack:
    """A stack without ingest, and the functions in S3."""
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
    stack.start_program("executor", *executor)
    stack.start_program("publisher", "bench.publisher_without_s3")
    stack.wait_local()
    s3 = make_client(stack.settings, "s3")
    for name, source in HANDLERS.items():
        archive = folder / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as target:
            target.writestr("main.py", source)
        body = archive.read_bytes()
        s3.put_object(Bucket=stack.settings.code_bucket, Key=archive.name, Body=body)
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


def measure_throughput(stack: Stack, count: int, tag: str, function_id: str = "noop") -> float:
    """Invocations a second, `count` of them queued at once."""
    client: Any = redis.Redis.from_url(stack.settings.redis_address)
    pubsub = client.pubsub()
    pubsub.psubscribe("result:*")
    pubsub.get_message(timeout=5)
    publications = key(PUBLICATIONS, 0)
    before = client.xlen(publications)
    bucket = stack.settings.code_bucket
    payloads = [make_request(f"{tag}-{n}", bucket, function_id) for n in range(count)]
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


def measure(sandbox: str, sandboxes: int, runs: int, count: int) -> dict[str, float]:
    """Milliseconds for one at a time, and invocations a second where many are queued."""
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        start(Path(folder), sandbox, sandboxes) as stack,
    ):
        measure_latency(stack, 100, "warmup-one")
        times = sorted(measure_latency(stack, runs, "one"))
        measure_throughput(stack, 500, "warmup")
        rate = measure_throughput(stack, count, "many")
    return {
        "warm_overhead_ms_p50": round(statistics.median(times), 3),
        "warm_overhead_ms_p99": round(times[int(len(times) * 0.99)], 3),
        "invocations_per_second": round(rate),
    }
