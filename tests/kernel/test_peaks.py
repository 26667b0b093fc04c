"""The memory peak of every call, on the kernel that runs this: v1, or v2 before and after 6.12."""

import pytest

from shared.events import Accuracy
from tests.kernel.requirements import need_cgroup
from tests.kernel.subject import started

MIB = 1 << 20
SIZES = (1, 200, 5, 50, 1)


def test_each_peak_is_the_calls_own() -> None:
    """1, 200, 5, 50, 1 MiB in one warm process: each within 1 MiB, none remembers another."""
    need_cgroup()
    with started() as subject:
        runs = [subject.call("allocate", size) for size in SIZES]

    for size, run in zip(SIZES, runs, strict=True):
        profile = run.profile
        above = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
        assert size == pytest.approx(above, abs=1), (size, profile)
        assert profile.memory_accuracy in (Accuracy.EXACT, Accuracy.PROCESS_EXACT)


def test_children_are_taken_in() -> None:
    """Exact where the kernel can reset the peak, or where it rose; else a declared upper bound."""
    need_cgroup()
    with started() as subject:
        can_reset = subject.meter.accuracy is Accuracy.EXACT
        runs = [subject.call("allocate_in_child", size) for size in SIZES]

    highest = 0
    for size, run in zip(SIZES, runs, strict=True):
        profile = run.profile
        above = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
        if can_reset or size > highest:
            assert Accuracy.EXACT is profile.memory_accuracy
            # A fork copies page tables and stacks: they are the child's too, and real.
            assert size + 1 == pytest.approx(above, abs=1.5), (size, profile)
        else:
            assert Accuracy.UPPER_BOUND is profile.memory_accuracy
            assert size <= above
        highest = max(highest, size)


def test_without_a_cgroup_the_process_is_read() -> None:
    """Its own mark is exact for itself; where it had children nothing is claimed."""
    with started(has_cgroup=False) as subject:
        runs = [subject.call("allocate", size) for size in SIZES]
        with_child = subject.call("allocate_in_child", 5).profile

    for size, run in zip(SIZES, runs, strict=True):
        profile = run.profile
        above = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
        assert size == pytest.approx(above, abs=1), (size, profile)
        assert Accuracy.PROCESS_EXACT is profile.memory_accuracy
    assert Accuracy.NONE is with_child.memory_accuracy
    assert "memory_peak_bytes" in with_child.missing
