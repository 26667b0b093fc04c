"""The memory peak of every call, on the kernel that runs this: v1, or v2 before and after 6.12."""

import pytest

from executor.cgroups import UNIFIED, read_own_cgroups
from shared.events import Accuracy
from tests.kernel.requirements import need_cgroup
from tests.kernel.subject import Run, Subject, started

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


def test_each_peak_is_the_calls_own_with_children() -> None:
    """The same in children, on every kernel, where the sandbox comes to rest between its calls."""
    need_cgroup()
    with started() as subject:
        runs = [call_after_rest(subject, size) for size in SIZES]
        fork = call_after_rest(subject, 0)

    # A fork copies page tables and stacks: they are the child's too, and real.
    fork_bytes = above_baseline(fork)
    assert 0 <= fork_bytes < 2 * MIB
    for size, run in zip(SIZES, runs, strict=True):
        assert Accuracy.EXACT is run.profile.memory_accuracy, (size, run.readings)
        assert size * MIB == pytest.approx(above_baseline(run) - fork_bytes, abs=MIB), size


def test_a_child_that_stays_is_taken_in() -> None:
    """It takes memory in a later call: exact after a rest, and before it no less than it took."""
    need_cgroup()
    with started() as subject:
        can_reset = subject.meter.accuracy is Accuracy.EXACT
        subject.call("keep_child")
        rising, back_to_back = (subject.call("allocate_in_kept_child", size) for size in (90, 40))
        subject.rest()
        after_rest = subject.call("allocate_in_kept_child", 5)

    for size, run in ((90, rising), (40, back_to_back), (5, after_rest)):
        if can_reset or run is not back_to_back:
            assert Accuracy.EXACT is run.profile.memory_accuracy, size
            assert size == pytest.approx(above_baseline(run) / MIB, abs=1)
        else:
            assert Accuracy.UPPER_BOUND is run.profile.memory_accuracy
            assert size * MIB <= above_baseline(run)


def test_rests_leave_little_behind() -> None:
    """Cgroups that are gone stay in the kernel for as long as their pages: a bounded number."""
    need_cgroup()
    with started() as subject:
        if subject.meter.call_memory is None:
            return  # this kernel needs none of it
        folder = read_own_cgroups(subject.pid)[UNIFIED]
        for _ in range(20):
            call_after_rest(subject, 1)
        statistics = dict(
            line.split() for line in (folder / "cgroup.stat").read_text().splitlines()
        )

    assert "1" == statistics["nr_descendants"]
    assert int(statistics["nr_dying_descendants"]) <= 16


def call_after_rest(subject: Subject, size: int) -> Run:
    subject.rest()
    return subject.call("allocate_in_child", size)


def above_baseline(run: Run) -> int:
    return run.profile.memory_peak_bytes - run.profile.memory_baseline_bytes


def test_children_are_taken_in() -> None:
    """Back to back, exact where the kernel can reset the peak, or where it rose; else a bound."""
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
