"""Peaks by a cgroup of the calls: never wrong, whatever happens when; and when one is made."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.background import Background
from executor.call_cgroup import CallCgroup, CallMark
from executor.call_memory import CallMemory
from executor.rest import Rests
from executor.seat import Seat
from profiler.memory import read_memory
from shared.events import Accuracy, Readings
from shared.wire import wait_readable

MIB = 1 << 20
STAT = "42 (python3) S 1 1 1 0 -1 0 9 {faults} 0 0 15 44 2 3 20 0 1 0 328292 1434828 2701\n"
NETWORK = "Inter-|\n face |\n    lo: {bytes}" + " 0" * 7 + " {bytes}" + " 0" * 7 + "\n"


@dataclass
class Kernel:
    """How Linux 6.1 charges: to the cgroup that a process is in, for as long as a page is there."""

    charged: list[list[int]] = field(default_factory=lambda: [[8 * MIB, 0]])  # bytes, to which
    number: int = 0  # of the cgroup of the calls; 0: the sandbox's own alone
    read: int = 0  # of the one that is read; 0: none
    mark: int = 0
    lifetime: int = 9 * MIB
    truth: int = 0

    @property
    def total(self) -> int:
        return sum(amount for amount, _ in self.charged)

    @property
    def in_call(self) -> int:
        return sum(amount for amount, number in self.charged if number == self.number)

    def step(self, step: tuple[str, int]) -> None:
        what, amount = step
        match what:
            case "take":
                self.charged.append([amount, self.number])
            case "free":
                chunk = self.charged[amount % len(self.charged)]
                chunk[0] -= chunk[0] // 2
            case "forget":
                self.read = 0
            case "renew":
                self.number, self.mark = self.number + 1, 0
            case _:  # "adopt"
                self.read = self.number
        self.mark = max(self.mark, self.in_call)
        self.lifetime = max(self.lifetime, self.total)
        self.truth = max(self.truth, self.total)

    def readings(self, faults: int, moved: int = 0) -> dict[str, str]:
        files = {
            "memory.current": f"{self.total}\n",
            "memory.peak": f"{self.lifetime}\n",
            "memory.stat": "shmem 0\n",
            "pids.current": "1\n",
            "status": "VmHWM:\t100 kB\nVmRSS:\t90 kB\n",
            "stat": STAT.format(faults=faults),
        }
        if self.read != self.number or self.read == 0:
            return files  # the files of a cgroup that is gone answer no more
        return files | {
            "call/number": f"{self.number}\n",
            "call/memory.peak": f"{self.mark}\n",
            "call/memory.current": f"{self.in_call}\n",
            "call/net/dev": NETWORK.format(bytes=moved),
        }


def measure(kernel: Kernel, steps: list[tuple[str, int]], moved: int = 0) -> Readings:
    """A call that has a child and does `steps`."""
    before = kernel.readings(faults=1)
    kernel.truth = kernel.total
    for step in steps:
        kernel.step(step)
    return Readings(
        source="cgroup2",
        accuracy=Accuracy.PROCESS_EXACT,
        before=before,
        after=kernel.readings(faults=2, moved=moved),
    )


Uses = st.tuples(st.just("take"), st.integers(0, 64 * MIB)) | st.tuples(
    st.just("free"), st.integers(0, 50)
)
Orders = st.tuples(st.sampled_from(["forget", "renew", "adopt"]), st.just(0))
RENEWAL = [("forget", 0), ("renew", 0), ("adopt", 0)]


@settings(max_examples=300)
@given(
    earlier=st.lists(Uses | Orders, max_size=12),
    since=st.none() | st.lists(Uses, max_size=4),
    steps=st.lists(Uses | Orders, max_size=12),
)
def test_never_a_wrong_number(
    earlier: list[tuple[str, int]],
    since: list[tuple[str, int]] | None,
    steps: list[tuple[str, int]],
) -> None:
    """Exact is within 1 MiB, anything else is a bound: also where a renewal is torn by calls.

    `since` is what was done after one in order; None: there was none.
    """
    kernel = Kernel()
    for step in [*earlier, *(RENEWAL if since is not None else []), *(since or [])]:
        kernel.step(step)
    memory = read_memory(measure(kernel, steps))

    assert memory.accuracy in (Accuracy.EXACT, Accuracy.UPPER_BOUND)
    assert memory.peak is not None
    assert memory.peak >= kernel.truth
    if memory.accuracy is Accuracy.EXACT:
        assert memory.peak <= kernel.truth + MIB


@settings(max_examples=100)
@given(
    earlier=st.lists(Uses, max_size=8),
    sizes=st.lists(st.integers(0, 200 * MIB), min_size=1, max_size=6),
)
def test_after_a_renewal_each_peak_is_exact(
    earlier: list[tuple[str, int]], sizes: list[int]
) -> None:
    """Whatever was before: what a child takes and gives back is told to the byte."""
    kernel = Kernel()
    for step in earlier:
        kernel.step(step)
    for size in sizes:
        for step in RENEWAL:
            kernel.step(step)
        baseline = kernel.total
        readings = measure(kernel, [("take", size)])
        kernel.charged.pop()
        memory = read_memory(readings)

        assert (Accuracy.EXACT, baseline + size) == (memory.accuracy, memory.peak)


@pytest.mark.parametrize(
    ("what", "steps", "moved"),
    [
        ("a renewal during the call", [("take", 5 * MIB), *RENEWAL], 0),
        ("one that began during the call", [("forget", 0), ("renew", 0), ("take", 5 * MIB)], 0),
        ("earlier memory that went", [("take", 5 * MIB), ("free", 0)], 0),
        ("buffers of an earlier connection", [("take", 5 * MIB)], 1 << 18),
    ],
)
def test_doubt_is_an_upper_bound(what: str, steps: list[tuple[str, int]], moved: int) -> None:
    """What cannot be known is not claimed: the lifetime's mark stands."""
    kernel = Kernel()
    for step in [("take", 90 * MIB), ("free", 1), ("free", 1), *RENEWAL]:
        kernel.step(step)
    memory = read_memory(measure(kernel, steps, moved))

    assert (Accuracy.UPPER_BOUND, kernel.lifetime) == (memory.accuracy, memory.peak), what


def test_a_mark_remembers_the_call_before() -> None:
    """Back to back, a smaller call leaves no trace on it: not claimed. A larger one does."""
    kernel = Kernel()
    for step in [("take", 90 * MIB), ("free", 1), *RENEWAL, ("take", 40 * MIB)]:
        kernel.step(step)
    kernel.charged.pop()
    smaller = read_memory(measure(kernel, [("take", 5 * MIB)]))
    kernel.charged.pop()
    larger = read_memory(measure(kernel, [("take", 41 * MIB)]))

    assert (Accuracy.UPPER_BOUND, kernel.lifetime) == (smaller.accuracy, smaller.peak)
    assert (Accuracy.EXACT, kernel.total) == (larger.accuracy, larger.peak)


def test_who_stays_is_not_overlooked() -> None:
    """A process that was there before and after, and was not at the start, may have used memory."""
    kernel = Kernel(lifetime=99 * MIB)
    files = kernel.readings(faults=1) | {"pids.current": "4\n"}

    def judge(others_at_start: str) -> Accuracy:
        fixed = {"pids.others_at_start": others_at_start} if others_at_start else {}
        return read_memory(
            Readings(
                source="cgroup2",
                accuracy=Accuracy.PROCESS_EXACT,
                before=files | fixed,
                after=files | fixed,
            )
        ).accuracy

    assert Accuracy.PROCESS_EXACT is judge("3\n")  # those of the sandbox itself
    assert Accuracy.UPPER_BOUND is judge("2\n")
    assert Accuracy.UPPER_BOUND is judge("3")  # cut off
    assert Accuracy.PROCESS_EXACT is judge("")  # readings of earlier times


# -- when one is made ------------------------------------------------------------------------------


class Files:
    """What the meter would read; a folder that takes no cgroups."""

    def __init__(self, folder: Path) -> None:
        (folder / "cgroup.subtree_control").touch()
        (folder / "cgroup.procs").write_text("42\n")
        self.folder = folder
        self.texts = Kernel().readings(faults=1)

    def open(self) -> CallMemory:
        return CallMemory(self.folder, lambda name: self.texts.get(name, ""))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("change", "wants"),
    [
        ({}, False),
        ({"stat": STAT.format(faults=2)}, True),  # a child was waited for
        ({"pids.current": "2\n"}, True),  # one stays
        ({"memory.stat": "anon 1\nshmem 2097152\n"}, True),  # files in /tmp
        ({"stat": "cut"}, True),  # not known
        ({"stat": STAT.format(faults=2), "memory.peak": f"{8 * MIB}\n"}, False),  # as if new
    ],
)
def test_wanted_where_the_process_is_not_alone(
    files: Files, change: dict[str, str], *, wants: bool
) -> None:
    """And the mark says more than what is in use; nobody else pays."""
    memory = files.open()
    files.texts |= change

    assert wants == memory.wants_renewal()


def test_refused_three_times_is_not_tried_again(files: Files) -> None:
    """A folder where nothing can be moved: no mark, nothing read, and soon no more tries."""
    memory = files.open()
    files.texts |= {"stat": STAT.format(faults=2)}
    tries = 0
    while memory.wants_renewal():
        memory.forget()
        memory.adopt(memory.renew())
        tries += 1

    assert 3 == tries
    assert {} == memory.readings()


def test_not_made_where_too_many_would_stay_or_none_may(files: Files) -> None:
    """Cgroups whose pages are still in use; a folder of somebody else; a sandbox that goes."""
    statistics = files.folder / "cgroup.stat"
    statistics.write_text("nr_descendants 1\nnr_dying_descendants 15\n")
    few = CallCgroup(files.folder).may_renew
    statistics.write_text("nr_descendants 1\nnr_dying_descendants 16\n")
    many = CallCgroup(files.folder).may_renew
    closed = CallCgroup(files.folder)
    closed.close()

    assert (True, False) == (few, many)
    assert closed.renew() is None
    assert not closed.may_renew
    assert not CallCgroup(files.folder / "nowhere").may_renew


# -- an idle sandbox comes to rest -----------------------------------------------------------------


class RestingSandbox:
    """A seat whose memory wants a new cgroup; `done` says what became of it, in order."""

    def __init__(self, folder: Path, *, wants: bool = True) -> None:
        self.file = folder / "memory"
        self.file.write_text("7\n")
        self.wants = wants
        self.done: list[str] = []
        self.generation = 1
        self.mark = CallMark(1, *(os.open(self.file, os.O_RDONLY) for _ in range(2)))
        self.sandbox = self.meter = self.call_memory = self

    def wants_renewal(self) -> bool:
        return self.wants

    def forget(self) -> None:
        self.done.append("forgotten")

    def renew(self) -> CallMark:
        return self.mark

    def adopt(self, mark: CallMark) -> None:
        self.done.append("adopted" if mark.read() else "adopted when closed")

    def freeze(self) -> None:
        self.done.append("frozen")


def rest(seat: RestingSandbox, *, is_called: bool = False) -> list[str]:
    """Begin, maybe call it meanwhile, and finish."""
    background = Background(1)
    Rests(background).begin(cast("Seat", seat))
    if is_called:
        seat.generation += 1
    while background.running:
        wait_readable([background.fileno()], 5.0)
        background.clear_wake()
        background.finish_done()
    background.close()
    return seat.done


def test_frozen_when_its_calls_have_a_new_cgroup(tmp_path: Path) -> None:
    """In this order: nothing old is read from the first step on."""
    assert ["forgotten", "adopted", "frozen"] == rest(RestingSandbox(tmp_path))
    assert ["frozen"] == rest(RestingSandbox(tmp_path, wants=False))


def test_a_call_that_comes_meanwhile_goes_ahead(tmp_path: Path) -> None:
    """It is neither frozen nor measured by what was begun beside it; the files are closed."""
    seat = RestingSandbox(tmp_path)

    assert ["forgotten"] == rest(seat, is_called=True)
    assert {} == seat.mark.read()
