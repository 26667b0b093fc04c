"""What a living executor records of invocations: series of long runs, CPU after the answer."""

from pathlib import Path

import pytest

from executor.series import AFTER_MS, INTERVAL_MS
from profiler.profile import estimate_profile
from profiler.series import read_points
from shared.events import InvocationFinished, SandboxStopped
from tests.contract.sandboxes import make_factory, need_kind
from tests.fixtures_executor import MakeTurned, Turned

SOURCE = {
    "main.py": "import os, threading, time\n"
    "def burn():\n"
    "    until = time.thread_time() + 0.05\n"
    "    while time.thread_time() < until: pass\n"
    "def handler(event, context):\n"
    "    held = bytearray(b'1') * (event.get('mebibytes', 0) << 20)\n"
    "    time.sleep(event['sleep_s'])\n"
    "    if event.get('ends'): os._exit(3)\n"
    "    if event.get('leaves'): threading.Timer(0.01, burn).start()\n"
}


@pytest.fixture
def running(turned: MakeTurned, tmp_path: Path) -> Turned:
    need_kind("bubblewrap")
    made = turned(make_factory("bubblewrap", tmp_path / "sandboxes"), generic_sandboxes_max=0)
    made.deploy("f", SOURCE)
    return made


def invoke(running: Turned, **event: object) -> InvocationFinished:
    """With a whole core, so that little is throttled."""
    return running.invoke("f", event, memory_mb=1_769)


def test_a_long_run_has_a_series_and_a_short_one_none(running: Turned) -> None:
    """From 200 ms on every 20 ms, with what it held meanwhile."""
    short = invoke(running, sleep_s=0.01).readings
    finished = invoke(running, sleep_s=0.6, mebibytes=30)
    long, run_ms = finished.readings, finished.execution.phases.run_us // 1_000

    assert short is not None
    assert short.series is None
    assert long is not None
    points = read_points(long)
    assert 5 < len(points) <= (run_ms - AFTER_MS) // INTERVAL_MS + 2
    assert points[0].at_us >= AFTER_MS * 1_000
    assert max(point.memory_bytes or 0 for point in points) > 30 << 20


def test_cpu_after_the_answer_is_told_by_the_next_call_or_the_end(running: Turned) -> None:
    """50 ms that a thread burns after the answer; before the sandbox is frozen, which ends it."""
    first = invoke(running, sleep_s=0.0, leaves=True)
    running.turn_for(0.09)
    second = invoke(running, sleep_s=0.0, ends=True)
    running.turn_for(1)
    (stopped,) = [event for event in running.events() if isinstance(event, SandboxStopped)]

    profiles = [estimate_profile(event.execution, event.readings) for event in (first, second)]
    assert 0 == profiles[0].cpu_after_answer_us
    assert 5_000 < profiles[1].cpu_after_answer_us < 60_000  # as far as it came
    assert stopped.readings is not None
    assert stopped.readings.before.keys() == stopped.readings.after.keys()
