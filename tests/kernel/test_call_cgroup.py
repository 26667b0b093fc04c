"""Processes moved into a new cgroup of the calls, or not, by the kernel that runs this."""

from executor.call_cgroup import CallCgroup
from executor.cgroups import CALL_CGROUP, UNIFIED, read_own_cgroups
from executor.own_cgroup import kill_cgroup, remove_cgroup
from tests.kernel.requirements import need_cgroup
from tests.kernel.subject import started


def test_done_or_refused_nothing_is_lost() -> None:
    """With the memory controller in v1 the kernel refuses; either way the sandbox can be ended."""
    need_cgroup()
    with started() as subject:
        subject.call("keep_child")
        own = read_own_cgroups(subject.pid)[UNIFIED]
        calls = CallCgroup(own)
        marks = [calls.renew() for _ in range(2)]
        has_memory = "memory" in (own / "cgroup.controllers").read_text().split()
        found = read_own_cgroups(subject.pid)[UNIFIED]
        answer = subject.call("allocate_in_kept_child", 1).truth
        calls.close()
        afterwards = calls.renew()
        for mark in filter(None, marks):
            mark.close()
        ended = kill_cgroup(subject.folders) and remove_cgroup(subject.folders)

    assert [has_memory] * 2 == [mark is not None for mark in marks]
    assert own == found  # it is part of the sandbox's own
    assert answer["bytes"] > 0
    assert afterwards is None
    assert ended
    assert not own.exists()
    assert CALL_CGROUP not in str(found)
