"""The executor's own loop and a sandbox whose function has children, on the kernel that runs this.

Log, inbox and S3 are in memory; loop, threads, sandbox and cgroups are real.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.response import StreamingBody

from executor.background import Background
from executor.bubblewrap_host import check_bubblewrap
from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.code_store import CodeStore
from executor.launch import Launcher
from executor.loop import Executor
from executor.parting import FREEZE_AFTER_MS
from executor.programs import Programs
from executor.sandbox import SandboxError
from executor.transfers import Transfers
from profiler.profile import estimate_profile
from shared.codec import decode, encode
from shared.events import (
    Accuracy,
    Code,
    InvocationFinished,
    InvocationRequested,
    Network,
    Profile,
    Runtime,
    derive_event_id,
)
from shared.log import Log
from shared.settings import load
from shared.topology import EXECUTIONS, REQUESTS
from tests.fakes.memory_inbox import MemoryInbox, MemoryStreams
from tests.kernel.requirements import need, need_cgroup

MIB = 1 << 20
SOURCE = """
import os

def handler(event, context):
    if os.fork() == 0:
        bytearray(b"1") * (event << 20)
        os._exit(0)
    os.wait()
"""


class Bucket:
    """S3 with one archive in it."""

    def __init__(self) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("main.py", SOURCE)
        self._content = packed.getvalue()

    def get_object(self, **_: str) -> dict[str, Any]:
        size = len(self._content)
        body = StreamingBody(io.BytesIO(self._content), size)
        return {"Body": body, "ContentLength": size, "ETag": "1"}


class Turned:
    """An executor that the test turns."""

    def __init__(self, executor: Executor, background: Background, streams: MemoryStreams) -> None:
        self._executor = executor
        self._background = background
        self._streams = streams
        self._count = 0

    def call(self, mebibytes: int) -> Profile:
        """Run one invocation to its end."""
        self._count += 1
        name = f"r{self._count}"
        request = InvocationRequested(
            event_id=derive_event_id(name, "InvocationRequested"),
            invocation_id=name,
            causation_id=name,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id="forks",
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code=Code(bucket="b", key="k"),
            memory_mb=256,
            timeout_ms=60_000,
            network=Network.NONE,
            input=msgspec.Raw(json.dumps(mebibytes).encode()),
        )
        self._streams.append(REQUESTS.name, 0, encode(request))
        until = time.monotonic() + 60
        while len(self._ended()) < self._count and time.monotonic() < until:
            self._executor.run_once(20)
        finished = self._ended()
        assert self._count == len(finished)
        return estimate_profile(finished[-1].execution, finished[-1].readings)

    def rest(self) -> None:
        """Long enough for idle sandboxes to come to rest, however slow this machine is."""
        until = time.monotonic() + FREEZE_AFTER_MS / 1000
        while time.monotonic() < until:
            self._executor.run_once(20)
        self._executor.run_once(20)
        until += 20
        while self._background.running and time.monotonic() < until:
            self._executor.run_once(20)

    def _ended(self) -> list[InvocationFinished]:
        entries = self._streams.entries.get((EXECUTIONS.name, 0), [])
        events = [decode(payload) for _, payload in entries]
        return [event for event in events if isinstance(event, InvocationFinished)]


@contextmanager
def started(folder: Path) -> Iterator[Turned]:
    """An executor for a while."""
    need_cgroup()
    try:
        check_bubblewrap()
    except SandboxError as error:
        need(False, str(error))
    settings = load(
        {
            "STATE_DIR": str(folder),
            "REDIS_URL": f"unix://{folder}/nowhere",
            "GENERIC_SANDBOXES_MAX": "0",
            "CPU_POLICY": "fixed",
        }
    )
    factory, bucket, background = BubblewrapFactory(folder, "test"), Bucket(), Background(4)
    code_store, streams = CodeStore(settings, bucket), MemoryStreams()
    launcher = Launcher(
        settings,
        factory,
        code_store,
        Log(settings.redis_address),
        background,
        Transfers(settings, bucket, background),
        Programs(code_store, factory.compile_go),
        1_000,
    )
    inbox = MemoryInbox(streams, REQUESTS, "test")
    executor = Executor(settings, inbox, launcher, code_store, background)
    try:
        yield Turned(executor, background, streams)
    finally:
        executor.close()


def test_calls_with_pauses_are_exact(tmp_path: Path) -> None:
    """1, 200, 5, 50, 1 MiB in children, a rest apart; those back to back have a bound at least."""
    sizes = (1, 200, 5, 50, 1)
    with started(tmp_path) as turned:
        turned.call(0)
        turned.call(100)  # higher than init
        apart = []
        for size in (0, *sizes):
            turned.rest()
            apart.append(turned.call(size))
        back_to_back = [turned.call(size) for size in (90, 3)]

    fork, *called = apart
    fork_bytes = fork.memory_peak_bytes - fork.memory_baseline_bytes
    for size, profile in zip(sizes, called, strict=True):
        above = profile.memory_peak_bytes - profile.memory_baseline_bytes - fork_bytes
        assert Accuracy.EXACT is profile.memory_accuracy, size
        assert size == pytest.approx(above / MIB, abs=1)
    for size, profile in zip((90, 3), back_to_back, strict=True):
        assert profile.memory_accuracy in (Accuracy.EXACT, Accuracy.UPPER_BOUND)
        assert size * MIB <= profile.memory_peak_bytes - profile.memory_baseline_bytes
