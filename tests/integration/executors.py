"""An executor that a test turns by hand, on real Redis and S3, and what it wrote to the log."""

import io
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis

from executor.process import build, make_inbox
from executor.sandbox import SandboxFactory
from shared.codec import decode
from shared.events import (
    Code,
    Execution,
    InvocationFinished,
    InvocationRequested,
    Runtime,
    S3Object,
    derive_event_id,
)
from shared.log import Log
from shared.settings import Settings
from shared.topology import EXECUTIONS, key

HANDLERS = {
    Runtime.PYTHON: ("main.py", "main.handler"),
    Runtime.NODEJS: ("index.js", "index.handler"),
}


class TurnedExecutor:
    """Functions are deployed by name; invocations run to their end one after the other."""

    def __init__(self, settings: Settings, factory: SandboxFactory, s3: Any, bucket: str) -> None:
        self._inbox = make_inbox(settings)
        self.executor = build(settings, factory, self._inbox)
        self.settings = settings
        self._log = Log(settings.redis_address, settings.partitions)
        self._s3 = s3
        self._bucket = bucket
        self._runtimes: dict[str, Runtime] = {}
        self.is_closed = False
        self._redis: Any = redis.Redis.from_url(settings.redis_address)

    def deploy(self, name: str, source: str, runtime: Runtime = Runtime.PYTHON) -> None:
        """Upload a function of one file."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(HANDLERS[runtime][0], source)
        self._s3.put_object(Bucket=self._bucket, Key=f"{name}.zip", Body=packed.getvalue())
        self._runtimes[name] = runtime

    def send(
        self, request_id: str, function: str, input_s3: str | None = None, **fields: Any
    ) -> None:
        """Append a request; `input_s3` is a key."""
        runtime = self._runtimes[function]
        place = None if input_s3 is None else S3Object(bucket=self._bucket, key=input_s3)
        given = {"memory_mb": 256, "timeout_ms": 20_000, **fields}
        request = InvocationRequested(
            event_id=derive_event_id(request_id, "InvocationRequested"),
            invocation_id=request_id,
            causation_id=request_id,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id=function,
            runtime=runtime,
            handler=HANDLERS[runtime][1],
            code=Code(bucket=self._bucket, key=f"{function}.zip"),
            input_s3=place,
            **given,
        )
        self._log.append(request, partition=0)

    def invoke(self, request_id: str, function: str, **fields: Any) -> Execution:
        """Run one invocation to its end."""
        self.send(request_id, function, **fields)
        self.turn(lambda: self.find(request_id) is not None)
        found = self.find(request_id)
        assert found is not None
        return found

    def turn(self, condition: Callable[[], bool] = lambda: False, seconds: float = 40) -> None:
        """Run the executor until `condition` holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come true in time"
            self.executor.run_once(20)

    def find(self, request_id: str) -> Execution | None:
        """How an invocation ended, if it did."""
        for _, fields in self._redis.xrange(key(EXECUTIONS, 0)):
            event = decode(fields[b"event"])
            if isinstance(event, InvocationFinished) and event.invocation_id == request_id:
                return event.execution
        return None

    def read(self, place: S3Object) -> bytes:
        """What lies at a place."""
        return bytes(self._s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read())

    def list_keys(self, prefix: str) -> list[str]:
        """The keys under a prefix of the output bucket."""
        answer = self._s3.list_objects_v2(Bucket=self.settings.output_bucket, Prefix=prefix)
        return [item["Key"] for item in answer.get("Contents", [])]

    def close(self) -> None:
        """Stop, and let nothing run on."""
        self.is_closed = True
        with suppress(redis.RedisError):
            self._redis.close()
        self._log.close()
        self._inbox.close()
        self.executor.close()
