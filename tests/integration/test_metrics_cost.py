"""What one warm invocation pays for being counted: increments, not time, so it is no luck."""

import sys
from pathlib import Path
from types import FrameType
from typing import Self

import pytest
from prometheus_client import values

from executor.gauges import show
from profiler.process import Counting as CountingProfiler
from shared.runner import Stage, run_once
from shared.topology import EXECUTIONS, PROFILES, Stream
from tests.contract.sandboxes import make_factory
from tests.fakes.memory_inbox import MemoryInbox, MemoryStreams
from tests.fixtures_executor import MakeTurned
from tuner.leader import Counting as CountingTuner
from tuner.stage import Tuner

GOLDEN = Path(__file__).parents[1] / "golden" / "events"

ONE = {"main.py": "def handler(event, context):\n    return 1\n"}
COUNT = 20


class Increments:
    """Counts what this thread adds to or sets in metrics while it lasts."""

    def __init__(self) -> None:
        self.count = 0
        self._codes = {values.MutexValue.inc.__code__, values.MutexValue.set.__code__}

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        self.count += event == "call" and frame.f_code in self._codes

    def __enter__(self) -> Self:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def test_the_executor_counts_a_warm_invocation_in_five_steps(
    turned: MakeTurned, tmp_path: Path
) -> None:
    """Outcome, duration (two), handled and committed, one at a time; less each in a batch."""
    running = turned(make_factory("process", tmp_path / "sandboxes"), generic_sandboxes_max=0)
    running.deploy("f", ONE)
    running.invoke("f")
    with Increments() as shown:
        show(running.executor.supply)

    with Increments() as counted:
        for _ in range(COUNT):
            running.invoke("f")

    assert 17 == shown.count  # once a second
    assert counted.count <= 5 * COUNT + 5


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize(
    ("stream", "counting", "event", "steps"),
    [
        # Handled, CPU time, memory peak.
        (EXECUTIONS, CountingProfiler(), "InvocationFinished.1.json", 3),
        # Handled, savings, and one for each kind of finding.
        (PROFILES, CountingTuner(Tuner()), "InvocationProfiled.1.json", 4),
    ],
    ids=["profiler", "tuner"],
)
def test_a_stage_counts_a_batch_as_cheaply_as_one(
    stream: Stream,
    counting: CountingProfiler | CountingTuner,
    event: str,
    steps: int,
    count: int,
) -> None:
    """The commits are one more, for all that Redis answers at once (`RedisInbox`)."""
    streams = MemoryStreams()
    for _ in range(count):
        streams.append(stream.name, 0, (GOLDEN / event).read_bytes().strip())
    inbox = MemoryInbox(streams, stream, "consumer-1")
    stage = Stage(stream.group, counting.handle, tell=counting.tell)

    with Increments() as counted:
        handled = run_once(stage, inbox, 0)

    assert count == handled
    assert 0 < counted.count <= steps
