"""What the executor adds to one warm call: from reading its entry to committing its result.

Measuring included, for a handler that returns at once; the way through Redis and the other stages
is not in it. The executor runs in this process on a Redis of its own.

    python -m bench.executor_call [--sandbox docker] [--runs 2000] [--json]
"""

import argparse
import io
import json
import statistics
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from bench.warm import HANDLER, make_request
from executor.choose_sandbox import choose_factory
from executor.process import build, make_inbox
from local.stack import Stack, local_environment
from shared.aws import make_client
from shared.events import Event
from shared.inbox import Delivery, Inbox
from shared.settings import load
from shared.topology import REQUESTS, key


class TimedInbox:
    """An inbox that notes when it handed out an entry and when it got the result."""

    def __init__(self, inbox: Inbox) -> None:
        self.consumer = inbox.consumer
        self._inbox = inbox
        self._read_ns = 0
        self.times_us: list[float] = []

    def receive(self, count_max: int, block_ms: int, wake: int | None = None) -> list[Delivery]:
        """See `Inbox`."""
        found = self._inbox.receive(count_max, block_ms, wake)
        if found:
            self._read_ns = time.perf_counter_ns()
        return found

    def commit(self, delivery: Delivery, outputs: Sequence[Event]) -> None:
        """See `Inbox`."""
        self.times_us.append((time.perf_counter_ns() - self._read_ns) / 1_000)
        self._inbox.commit(delivery, outputs)

    def bury(self, delivery: Delivery, reason: str) -> None:
        """See `Inbox`."""
        self._inbox.bury(delivery, reason)

    def flush(self) -> int:
        """See `Inbox`."""
        return self._inbox.flush()

    def hold(self) -> None:
        """See `Inbox`."""
        self._inbox.hold()

    def close(self) -> None:
        """See `Inbox`."""
        self._inbox.close()


def measure(sandbox: str, runs: int) -> dict[str, float]:
    """Microseconds at the median and the 99th percentile."""
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        environment = {
            **local_environment(Path(folder)),
            "SANDBOX": sandbox,
            "CODE_CHECK_SECONDS": "3600",
            "GENERIC_SANDBOXES_MAX": "0",
        }
        with Stack(environment, log_path=Path(folder) / "stack.log") as stack:
            stack.start("local")
            stack.wait_local()
            return _measure(environment, runs)


def _measure(environment: dict[str, str], runs: int) -> dict[str, float]:
    settings = load(environment)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", HANDLER)
    s3 = make_client(settings, "s3")
    s3.put_object(Bucket=settings.code_bucket, Key="noop.zip", Body=packed.getvalue())
    factory, _ = choose_factory(settings)
    timed = TimedInbox(make_inbox(settings))
    executor = build(settings, factory, timed)
    client: Any = redis.Redis.from_url(settings.redis_address)
    for number in range(runs + 100):
        payload = make_request(f"r-{number}", settings.code_bucket)
        client.xadd(key(REQUESTS, 0), {"event": payload})
        ended = 0
        while not ended:
            ended = executor.run_once(1_000)
    timed.close()
    executor.close()
    times = sorted(timed.times_us[100:])
    return {
        "executor_adds_us_p50": round(statistics.median(times), 1),
        "executor_adds_us_p99": round(times[int(len(times) * 0.99)], 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    row = measure(given.sandbox, given.runs)
    print(json.dumps(row) if given.json else json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
