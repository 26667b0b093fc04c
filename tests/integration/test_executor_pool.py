"""The pool inside a living executor: what expires is destroyed, what is used stays warm."""

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from executor.keep_alive import FixedKeepAlive
from executor.loop import Executor
from executor.policy import Policy, choose_policy
from executor.process import build
from shared.events import Code, InvocationRequested, Runtime, derive_event_id
from shared.inbox import Inbox
from shared.log import Log
from shared.settings import Settings
from tests.fakes.process_sandbox import ProcessFactory
from tests.fixtures_redis import RedisServer


class Running:
    """An executor that the test turns by hand."""

    def __init__(self, settings: Settings, bucket: str) -> None:
        factory = ProcessFactory(Path(settings.state_dir))
        parts: tuple[Executor, Inbox] = build(settings, factory)
        self.executor, self._inbox = parts
        self._log = Log(settings.redis_address, settings.partitions)
        self._bucket = bucket

    def invoke(self, name: str) -> None:
        """Run one invocation of the function to its end."""
        request = InvocationRequested(
            event_id=derive_event_id(name, "InvocationRequested"),
            invocation_id=name,
            causation_id=name,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id="f",
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code=Code(bucket=self._bucket, key="code.zip"),
            memory_mb=128,
            timeout_ms=10_000,
        )
        self._log.append(request, partition=0)
        deadline, ended = time.monotonic() + 20, 0
        while not ended:
            ended = self.executor.run_once(100)
            assert time.monotonic() < deadline, "the invocation did not end"

    @property
    def pool(self) -> Any:
        return self.executor.supply.pool

    def close(self) -> None:
        self._inbox.close()
        self.executor.close()


@pytest.fixture
def running(
    aws_settings: Settings, redis_server: RedisServer, bucket: str, s3: Any
) -> Iterator[Running]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", "def handler(event, context):\n    return 1\n")
    s3.put_object(Bucket=bucket, Key="code.zip", Body=packed.getvalue())
    made = Running(structs.replace(aws_settings, redis_url=redis_server.url), bucket)
    yield made
    made.close()


def test_an_idle_sandbox_expires_by_the_policy(running: Running) -> None:
    """Its process and its folder go, and the next invocation starts cold."""
    running.pool.policy = Policy(FixedKeepAlive(1))
    running.invoke("one")
    first = running.pool._idle[1].sandbox
    time.sleep(0.01)
    running.executor.supply.tend()

    assert (0, 0) == (running.pool.idle_count, running.pool.busy_count)
    running.invoke("two")
    assert first.sandbox._process.returncode is not None
    assert running.pool._idle[2].sandbox is not first


def test_what_is_used_stays(running: Running) -> None:
    """By default a function that just came is kept; what came and what it cost is recorded."""
    assert running.pool.policy == choose_policy("balanced", prewarm=False)
    running.invoke("one")
    running.executor.supply.tend()
    running.invoke("two")
    known = running.pool.arrivals.of("f")

    assert (1, 1, 0, 2) == (running.pool.idle_count, known.alive, known.busy, known.begun)
    assert known.cold_ms > 0
    assert {0: 1.0} == known.levels[0].counts
