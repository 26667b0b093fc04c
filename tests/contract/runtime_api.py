"""One sandbox whose function brings its own bootstrap, asked and answered in turn."""

import json
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from executor.choose_channel import open_channel
from executor.frames import ANSWER, READY, Frame
from executor.sandbox import Sandbox, SandboxFactory, SandboxSpec
from shared.events import Runtime
from tests.contract.sandboxes import make_files, make_spec


@dataclass
class Caller:
    """What the executor's seat does, one step at a time."""

    sandbox: Sandbox
    frames: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.channel = open_channel(self.sandbox)

    def init(self, **head: object) -> dict[str, object]:
        """Start the bootstrap; the head of its READY."""
        spec = self.sandbox.spec
        given = {
            "handler": spec.handler,
            "function_id": "f",
            "memory_mb": spec.limits.memory_mb,
            "env": {},
            "sandbox_id": "s",
            "region": "eu-west-1",
        }
        self.channel.send(self.channel.encode_init({**given, **head}))
        return self.take(READY).head

    def send_call(self, event: bytes = b"null", *, request_id: str = "r", seconds: int = 5) -> None:
        """The first half of a call."""
        deadline_ms = int(time.time() * 1000) + seconds * 1000
        head = {"id": request_id, "deadline_ms": deadline_ms, "attempt": 1}
        self.channel.send(self.channel.encode_call(head, event))

    def call(self, event: bytes = b"null", *, request_id: str = "r") -> Frame:
        """Call the function, and wait until it is ready for the next call."""
        self.send_call(event, request_id=request_id)
        answer = self.take(ANSWER)
        assert request_id == answer.head["id"]
        self.take(READY)
        return answer

    def output(self, value: object = None, **call: Any) -> Any:
        """The output of a call that succeeds."""
        answer = self.call(json.dumps(value).encode(), **call)
        assert "failure" not in answer.head, answer.head
        return json.loads(answer.body)

    def failure(self, value: object = None) -> dict[str, Any]:
        """The failure of a call; the process may end after it."""
        self.send_call(json.dumps(value).encode())
        failure = self.take(ANSWER).head["failure"]
        assert isinstance(failure, dict)
        return failure

    def take(self, kind: bytes, seconds: float = 10) -> Frame:
        """The next frame, which is of this kind."""
        frame = self.receive(seconds)
        assert frame is not None, ("gone", self.logs(), self.sandbox.describe_exit())
        assert kind == frame.kind
        return frame

    def receive(self, seconds: float = 10) -> Frame | None:
        """The next frame; None if the process is gone."""
        deadline = time.monotonic() + seconds
        while not self.frames:
            left = deadline - time.monotonic()
            assert left > 0, f"nothing for {seconds} s; log: {self.logs()}"
            select.select([self.channel.fileno()], [], [], left)
            received = self.channel.receive()
            if received is None:
                return None
            self.frames += received
        return self.frames.pop(0)

    def logs(self) -> str:
        """What was written since the last time."""
        written = b""
        try:
            while some := self.sandbox.logs.recv(65_536):
                written += some
        except BlockingIOError:
            pass
        return written.decode()


@contextmanager
def started(factory: SandboxFactory, spec: SandboxSpec) -> Iterator[Caller]:
    """A sandbox for a while."""
    sandbox = factory.start(spec)
    caller = Caller(sandbox)
    try:
        yield caller
    finally:
        caller.channel.close()
        sandbox.destroy()


def make_function(
    folder: Path, files: Mapping[str, str], runtime: Runtime = Runtime.PROVIDED
) -> SandboxSpec:
    """A function whose archive has an executable `bootstrap`."""
    make_files(folder, files)
    (folder / "bootstrap").chmod(0o755)
    return replace(make_spec(folder, runtime=runtime), own_bootstrap=True)
