"""An executor that the test turns by hand, on real Redis and the AWS stand-in."""

import io
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
import redis
from msgspec import structs

from executor.process import build, make_inbox
from shared.codec import decode
from shared.events import (
    Code,
    Event,
    InvocationFinished,
    InvocationRequested,
    Network,
    Runtime,
    derive_event_id,
)
from shared.log import Log
from shared.settings import Settings
from shared.topology import EXECUTIONS, key
from tests.contract.sandboxes import ClosableFactory
from tests.fixtures_redis import RedisServer


class Turned:
    """An executor and what a test does with it."""

    def __init__(self, settings: Settings, factory: ClosableFactory, bucket: str, s3: Any) -> None:
        self._inbox = make_inbox(settings)
        self.executor = build(settings, factory, self._inbox)
        self._log = Log(settings.redis_address, settings.partitions)
        self._redis: Any = redis.Redis.from_url(settings.redis_address)
        self._bucket = bucket
        self._s3 = s3
        self._count = 0

    def deploy(self, name: str, files: Mapping[str, str]) -> None:
        """Put a function's archive into the bucket."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        self._s3.put_object(Bucket=self._bucket, Key=f"{name}.zip", Body=packed.getvalue())

    def request(self, function: str, event: object = None, **given: Any) -> InvocationRequested:
        """A request for a deployed function, not sent."""
        self._count += 1
        name = f"{function}-{self._count}"
        fields: dict[str, Any] = {
            "runtime": Runtime.PYTHON,
            "handler": "main.handler",
            "code": Code(bucket=self._bucket, key=f"{function}.zip"),
            "memory_mb": 128,
            "timeout_ms": 10_000,
            "network": Network.NONE,
            "input": msgspec.Raw(msgspec.json.encode(event)),
            **given,
        }
        return InvocationRequested(
            event_id=derive_event_id(name, "InvocationRequested"),
            invocation_id=name,
            causation_id=name,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id=function,
            **fields,
        )

    def send(self, requests: Sequence[InvocationRequested]) -> None:
        """Append requests to the log."""
        for request in requests:
            self._log.append(request, partition=0)

    def turn(self, count: int, seconds: float = 60) -> None:
        """Until that many invocations have ended, and the log has it."""
        deadline = time.monotonic() + seconds
        while count > 0:
            count -= self.executor.run_once(100)
            assert time.monotonic() < deadline, f"{count} invocations did not end"
        self._inbox.flush()

    def turn_for(self, seconds: float) -> None:
        """Let time pass."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.executor.run_once(max(int(left * 1_000), 1))

    def invoke(self, function: str, event: object = None, **given: Any) -> InvocationFinished:
        """Run one invocation to its end."""
        request = self.request(function, event, **given)
        self.send([request])
        self.turn(1)
        return self.ended()[request.invocation_id]

    def events(self) -> list[Event]:
        """Everything the executor appended, oldest first."""
        entries = self._redis.xrange(key(EXECUTIONS, 0))
        return [decode(fields[b"event"]) for _, fields in entries]

    def ended(self) -> dict[str, InvocationFinished]:
        """How invocations ended, by request id; asserts that each ended once."""
        found = [event for event in self.events() if isinstance(event, InvocationFinished)]
        by_id = {event.invocation_id: event for event in found}
        assert len(found) == len(by_id), "an invocation ended twice"
        return by_id

    def close(self) -> None:
        """End the executor and its sandboxes."""
        self._inbox.close()
        self.executor.close()


MakeTurned = Callable[..., Turned]


@pytest.fixture
def turned(
    aws_settings: Settings, redis_server: RedisServer, bucket: str, s3: Any
) -> Iterator[MakeTurned]:
    """Makes executors on a factory, with settings."""
    made: list[Turned] = []

    def make(factory: ClosableFactory, **given: Any) -> Turned:
        settings = structs.replace(aws_settings, redis_url=redis_server.url, **given)
        made.append(Turned(settings, factory, bucket, s3))
        return made[-1]

    yield make
    for one in made:
        one.close()
