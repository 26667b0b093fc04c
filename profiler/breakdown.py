"""Where the time of one run went: parts that add up to it exactly. Pure.

Not here: where the evidence comes from (`cpu`, `figures`).

Each part is wall-clock time of the run, so each piece of evidence is first made into that, and what
the kernel does not tell is `unattributed`: it is never called waiting for want of something better.
"""

from typing import NamedTuple

from profiler.deltas import Amount
from shared.events import Breakdown

_OTHERS_PERMILLE = 100  # of the CPU time: more of it by other threads, and the first is not all
_OTHERS_US = 2_000
_DOUBT = 4  # times the pressure told, or a part of it where the run was sampled


class Evidence(NamedTuple):
    """What is known of a run besides its length, in microseconds; None: unknown."""

    cpu_us: Amount = None  # of all threads
    system_us: Amount = None  # of these, in the kernel
    busy_us: Amount = None  # at most so long was at least one CPU busy (from the series)
    throttled_us: Amount = None  # every CPU counts its own
    throttled_periods: Amount = None
    period_us: int = 0  # of the CPU quota; 0: not known
    main_cpu_us: Amount = None  # the first thread: on a CPU
    main_ready_us: Amount = None  # the first thread: ready, but not on a CPU
    cpu_stall_us: Amount = None  # full pressure
    io_stall_us: Amount = None
    memory_stall_us: Amount = None
    disk_bytes: Amount = None
    has_met_limit: bool | None = None  # of memory
    major_faults: Amount = None


def divide_run(run_us: int, seen: Evidence) -> Breakdown:
    """The parts of a run. None is negative and their sum is `run_us`.

    They are taken from the run one by one, the surest first; what is left was spent asleep, but for
    what may be something else (`find_doubt`).
    """
    if seen.cpu_us is None:
        return Breakdown(unattributed_us=run_us)
    ready_us = find_ready(seen)
    cpu_us = find_on_cpu(run_us, seen, ready_us)
    io_us, memory_us = find_stalls(seen)
    shared_us = min(memory_us or 0, (io_us or 0) + (seen.system_us or 0))
    shared_with_io_us = min(shared_us, io_us or 0)
    purse = _Purse(run_us)
    on_cpu_us = purse.take(max(cpu_us - (shared_us - shared_with_io_us), 0))
    throttled_us = purse.take(find_throttled(seen, ready_us))
    is_ready_known = ready_us is not None and seen.throttled_us is not None
    run_queue_us = purse.take(max((ready_us or 0) - throttled_us, 0) if is_ready_known else 0)
    memory_pressure_us = purse.take(memory_us or 0)
    block_io_us = purse.take((io_us or 0) - shared_with_io_us)
    claimed_us = cpu_us + throttled_us + run_queue_us + (memory_us or 0) + (io_us or 0)
    doubt_us = max(shared_us - max(claimed_us - run_us, 0), 0) + find_doubt(run_us, seen, ready_us)
    unattributed_us = purse.take(doubt_us)
    return Breakdown(
        on_cpu_us=on_cpu_us,
        throttled_us=throttled_us,
        run_queue_us=run_queue_us,
        block_io_us=block_io_us,
        memory_pressure_us=memory_pressure_us,
        waiting_us=purse.take(run_us),
        unattributed_us=unattributed_us,
    )


class _Purse:
    """The run: no more can be taken from it than is left."""

    def __init__(self, amount: int) -> None:
        self._left = amount

    def take(self, amount: int) -> int:
        """So much of it, or what is left."""
        taken = min(amount, self._left)
        self._left -= taken
        return taken


def has_one_thread(seen: Evidence) -> bool:
    """Whether the first thread did (nearly) all of the work: then its own counters are exact."""
    if seen.main_cpu_us is None or seen.cpu_us is None:
        return False
    others_us = seen.cpu_us - seen.main_cpu_us
    return others_us <= max(seen.cpu_us * _OTHERS_PERMILLE // 1000, _OTHERS_US)


def find_ready(seen: Evidence) -> Amount:
    """Time in which something was ready to run and nothing ran.

    Pressure weighs the CPUs by their use, so it says too little of a thread that changes CPUs; the
    first thread's own counter does not, but knows of no other thread.
    """
    if has_one_thread(seen) and seen.main_ready_us is not None:
        return seen.main_ready_us
    return seen.cpu_stall_us


def find_on_cpu(run_us: int, seen: Evidence, ready_us: Amount) -> int:
    """Time with at least one CPU at work; CPU time of several threads may be more than that."""
    assert seen.cpu_us is not None
    wall_us = min(seen.cpu_us, run_us)
    if has_one_thread(seen):
        return wall_us
    if seen.busy_us is not None:
        wall_us = min(wall_us, seen.busy_us)
    if ready_us is not None:
        return min(wall_us, max(run_us - ready_us - (seen.io_stall_us or 0), 0))
    # Threads add up their CPU time, and each CPU its throttled time: they share in proportion.
    together_us = wall_us + find_throttled(seen, None)
    return wall_us if together_us <= run_us else run_us * wall_us // together_us


def find_throttled(seen: Evidence, ready_us: Amount) -> int:
    """A throttled period is throttled for one period at most, however many CPUs count it."""
    throttled_us = seen.throttled_us or 0
    if seen.throttled_periods is not None and seen.period_us > 0:
        throttled_us = min(throttled_us, seen.throttled_periods * seen.period_us)
    if ready_us is not None and not has_one_thread(seen):
        throttled_us = min(throttled_us, ready_us)
    return throttled_us


def find_stalls(seen: Evidence) -> tuple[Amount, Amount]:
    """Waiting for disks and for memory; both overlap.

    Without pressure files: who moved no byte waited for no disk, and who met no limit and read no
    page back was not short of memory. With them: finding memory takes the system's time on a CPU,
    and reading pages back is a wait for a disk too. The breakdown counts both as memory pressure.
    """
    io_us, memory_us = seen.io_stall_us, seen.memory_stall_us
    if io_us is None and seen.disk_bytes == 0:
        io_us = 0
    if memory_us is None and seen.has_met_limit is False and seen.major_faults == 0:
        memory_us = 0
    return io_us, memory_us


def find_doubt(run_us: int, seen: Evidence, ready_us: Amount) -> int:
    """How much of what is left may not have been sleep.

    All of it where a wait is not known at all. Pressure weighs CPUs by their use, so it says too
    little where threads change CPUs between two looks: a third of a short wait was seen told. Who
    waits for a disk changes seldom, so that frequent looks, as with a series, are nearly right;
    who waits for a CPU is moved about, and they are not.
    """
    io_us, memory_us = find_stalls(seen)
    if io_us is None or memory_us is None or ready_us is None:
        return run_us
    doubt_us = (seen.io_stall_us or 0) * _DOUBT
    if seen.busy_us is not None:
        doubt_us //= _DOUBT * _DOUBT
    if not has_one_thread(seen):
        doubt_us += seen.cpu_stall_us or 0
    # Without a quota known, being ready may have been somebody else's doing or a throttle above.
    return doubt_us + (ready_us if seen.throttled_us is None else 0)
