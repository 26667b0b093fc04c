"""Waiting: how long, and what it says about itself."""

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from shared.backoff import FIRST_S, LONGEST_S, Backoff, decide_delay


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_are_bounded(tries: int, share: float) -> None:
    """Never a spin, never longer than the longest."""
    assert FIRST_S <= decide_delay(tries, share) <= LONGEST_S


def test_the_window_doubles() -> None:
    """The longest wait of each try is twice that of the last, up to the bound."""
    windows = [round(decide_delay(tries, 1.0), 3) for tries in range(8)]

    assert windows == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def waiting(stage: str) -> float | None:
    labels = {"stage": stage, "dependency": "redis"}
    return REGISTRY.get_sample_value("hearth_waiting", labels)


def test_a_stage_says_that_it_waits() -> None:
    """As long as one of its threads waits."""
    stop = threading.Event()
    stop.set()
    first, second = Backoff("stage-x", "redis"), Backoff("stage-x", "redis")
    first.wait(stop, "no route")
    first.wait(stop, "no route")
    second.wait(stop, "no route")
    assert waiting("stage-x") == 1
    first.reset()
    first.reset()
    assert waiting("stage-x") == 1
    second.reset()

    assert waiting("stage-x") == 0
