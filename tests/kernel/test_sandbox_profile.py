"""A bubblewrap sandbox measured from outside, on the kernel that runs this."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executor.bubblewrap_host import check_bubblewrap
from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.cgroups import CALL_CGROUP, read_own_cgroups
from executor.frames import CALL, INIT, Decoder, Frame, encode
from executor.sandbox import Sandbox, SandboxError, SandboxSpec
from profiler.profile import estimate_profile
from shared.events import Accuracy, Limits, Network, Profile, Readings, Runtime
from tests.kernel.precedence import at_once, prefer
from tests.kernel.requirements import need, need_cgroup
from tests.kernel.subject import make_execution, rest

MIB = 1 << 20
_QUIET_TRIES = 10
SOURCE = """
import os, subprocess, sys, time

def handler(event, context):
    what, amount = event
    if what == "fork":
        if os.fork() == 0:
            bytearray(b"1") * (amount << 20)
            os._exit(0)
        os.wait()
    if what == "fill":
        return len(bytearray(b"1") * (amount << 20))
    if what == "burn":
        began, until = time.monotonic(), time.thread_time() + amount / 1000
        while time.thread_time() < until: pass
        return int((time.monotonic() - began) * 1e6)
    if what == "sleep":
        time.sleep(amount / 1000)
"""


class Client:
    """What the executor's loop is to a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._decoder = Decoder()
        self.answer: object = None  # of the last call
        prefer(tuple(read_own_cgroups(sandbox.pid).values()))
        self.ask(encode(INIT, {"handler": "main.handler", "function_id": "f", "memory_mb": 256}))

    def ask(self, frame: bytes) -> Frame | None:
        """The answer; None if it hung up."""
        control: socket.socket = self.sandbox.control
        control.settimeout(60)
        control.sendall(frame)
        while received := control.recv(1 << 16):
            if frames := self._decoder.feed(received):
                return frames[0]
        return None

    def call(self, what: str, amount: int) -> tuple[Profile, int]:
        """The profile of a call and how long it took."""
        meter = self.sandbox.meter
        deadline_ms = int(time.time() * 1000) + 60_000
        frame = encode(
            CALL, {"id": "r", "deadline_ms": deadline_ms}, json.dumps([what, amount]).encode()
        )
        with at_once():
            before = meter.before()
            began_ns = time.monotonic_ns()
            answer = self.ask(frame)
            run_us = (time.monotonic_ns() - began_ns) // 1000
        readings = Readings(
            source=meter.source, accuracy=meter.accuracy, before=before, after=meter.after()
        )
        self.answer = json.loads(answer.body) if answer else None
        limits = self.sandbox.spec.limits
        return estimate_profile(make_execution(run_us, limits), readings), run_us

    def burn_in_quiet(self, ms: int, cost_us: int) -> tuple[Profile, int]:
        """A call that was heard of when it ended, by its own clock: a host may stop the machine."""
        for _ in range(_QUIET_TRIES):
            profile, run_us = self.call("burn", ms)
            assert isinstance(self.answer, int)
            if run_us - self.answer <= max(run_us // 20, cost_us):
                break
        return profile, run_us

    def call_after_rest(self, what: str, amount: int) -> tuple[Profile, int]:
        """As the executor does with a sandbox that is idle for a moment."""
        rest(self.sandbox.meter)
        return self.call(what, amount)


@contextmanager
def started(folder: Path, memory_mb: int) -> Iterator[Client]:
    """A warm sandbox for a while."""
    need_cgroup()
    try:
        check_bubblewrap()
    except SandboxError as error:
        need(False, str(error))
    code = folder / "code"
    code.mkdir(mode=0o755)
    (code / "main.py").write_text(SOURCE)
    factory = BubblewrapFactory(folder / "state", "test")
    sandbox = factory.start(
        SandboxSpec(
            function_id="f",
            runtime=Runtime.PYTHON,
            handler="main.handler",
            code_dir=code,
            code_sha256="0" * 64,
            limits=Limits(memory_mb=memory_mb, timeout_ms=60_000),
            network=Network.NONE,
        )
    )
    try:
        yield Client(sandbox)
    finally:
        sandbox.destroy()
        factory.close()


def test_a_warm_sandbox_is_profiled(tmp_path: Path) -> None:
    """Peaks of 1, 100, 5 MiB each for itself; work and sleep as they were."""
    with started(tmp_path, 256) as client:
        assert client.sandbox.meter.source in ("cgroup1", "cgroup2")
        for size in (1, 100, 5):
            profile, _ = client.call("fill", size)
            above = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
            assert size == pytest.approx(above, abs=1.3), profile
            assert profile.memory_accuracy in (Accuracy.EXACT, Accuracy.PROCESS_EXACT)
        cost_us = sorted(client.call("sleep", 0)[1] for _ in range(5))[2]
        worked, worked_us = client.burn_in_quiet(150, cost_us)
        slept, slept_us = client.call("sleep", 300)

    parts = worked.breakdown
    assert 150_000 <= parts.on_cpu_us <= worked_us
    # On an emulated machine: but for what a call takes there by itself.
    in_doubt_us = max(0.1 * worked_us, 2 * cost_us)
    assert worked_us == pytest.approx(parts.on_cpu_us + parts.run_queue_us, abs=in_doubt_us)
    assert 300_000 == pytest.approx(slept.breakdown.waiting_us, rel=0.1)
    assert slept_us >= 300_000
    assert (0, 0) == (slept.network_rx_bytes, slept.network_tx_bytes)
    assert slept.pids >= 1
    assert [] == [name for name in worked.missing if name != "memory_limit_hits"]


def test_children_in_a_sandbox_that_rests(tmp_path: Path) -> None:
    """50, 5, 1 MiB in children of a warm sandbox: exact. Its limit holds, nothing is left.

    The limit and its count stay with the sandbox, wherever its processes were moved.
    """
    sizes = (50, 5, 1)
    with started(tmp_path, 256) as client:
        client.call("fork", 0)
        fork, _ = client.call_after_rest("fork", 0)
        profiles = [client.call_after_rest("fork", size)[0] for size in sizes]
        folders = read_own_cgroups(client.sandbox.pid).values()
        needed_cgroup = client.sandbox.meter.call_memory is not None
        assert needed_cgroup == any(list(folder.glob(f"{CALL_CGROUP}*")) for folder in folders)
        too_much, _ = client.call_after_rest("fill", 300)
        end = client.sandbox.describe_exit()

    fork_bytes = fork.memory_peak_bytes - fork.memory_baseline_bytes
    assert fork_bytes < 2 * MIB
    for size, profile in zip(sizes, profiles, strict=True):
        above = profile.memory_peak_bytes - profile.memory_baseline_bytes - fork_bytes
        assert Accuracy.EXACT is profile.memory_accuracy, size
        assert size == pytest.approx(above / MIB, abs=1)
    assert end.out_of_memory
    assert 1 == too_much.oom_kills
    assert 256 == pytest.approx(too_much.memory_peak_bytes / MIB, abs=1)
    assert [] == [folder for folder in folders if folder.exists()]


def test_out_of_memory_is_seen(tmp_path: Path) -> None:
    """The kernel's kill is counted by the cgroup and told by the sandbox's exit."""
    with started(tmp_path, 64) as client:
        profile, _ = client.call("fill", 200)
        end = client.sandbox.describe_exit()

    assert end.out_of_memory
    assert 1 == profile.oom_kills
    assert 64 * MIB == pytest.approx(profile.memory_peak_bytes, abs=MIB)
