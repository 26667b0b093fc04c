"""Where the time of a function went at one size, and with it how long it takes at another.

Not here: the kernel's rules (`bandwidth`), several sizes seen (`curve`).
"""

from typing import NamedTuple

from tuner.bandwidth import KERNEL, MB_PER_CORE, Kernel, Work, estimate_stall_us, grant_quota_us

# Below, it is the edges of the readings and not a second thread.
_CORES_MIN = 1.25
_PAUSES_RATIO_MIN = 0.02
_PAUSES_US_MIN = 1_000
_STALL_US_MIN = 1_500.0  # less is a stray period
_BURSTS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)


class Anatomy(NamedTuple):
    """The mean invocation at one size. With `period_us` 0 its CPU does not depend on memory."""

    memory_mb: int
    period_us: int
    run_us: float
    work: Work  # with the CPU time that it takes where nothing stops it


def dissect(
    memory_mb: int,
    period_us: int,
    run_us: float,
    used: tuple[float, float],
    kernel: Kernel = KERNEL,
) -> Anatomy:
    """The anatomy of a mean run that used CPU time and was throttled (`used`), both in us."""
    cpu_us, throttled_us = used
    if period_us <= 0 or run_us <= 0:
        return Anatomy(memory_mb, 0, run_us, Work(0.0, run_us))
    # Each of n busy threads is either on its CPU or throttled there: both add up to n runs.
    cores = (cpu_us + throttled_us) / run_us
    cores = cores if cores >= _CORES_MIN else 1.0
    busy_us = min(cpu_us / cores, run_us)
    stalled_us = min(throttled_us / cores, run_us - busy_us)
    work = Work(cpu_us, run_us - busy_us - stalled_us, cores)
    if work.waiting_us >= _PAUSES_RATIO_MIN * run_us + _PAUSES_US_MIN:
        grant = (grant_quota_us(memory_mb, period_us), period_us)
        work = work._replace(bursts=_find_bursts(work, stalled_us, grant, kernel))
    if stalled_us >= _STALL_US_MIN:
        work = work._replace(cpu_us=cpu_us / _estimate_cooling(memory_mb, cores, kernel))
    return Anatomy(memory_mb, period_us, run_us, work)


def predict_us(anatomy: Anatomy, memory_mb: int, kernel: Kernel = KERNEL) -> float:
    """The mean duration at `memory_mb`; at the measured size exactly what was measured."""
    if anatomy.period_us == 0 or memory_mb == anatomy.memory_mb:
        return anatomy.run_us
    work = anatomy.work
    period_us = anatomy.period_us
    quota_us = grant_quota_us(memory_mb, period_us)
    stall_us = estimate_stall_us(work, quota_us, period_us, kernel.overrun_us)
    if stall_us > 0:
        cpu_us = work.cpu_us * _estimate_cooling(memory_mb, work.cores, kernel)
        work = Work(cpu_us, work.waiting_us, work.cores, work.bursts)
        stall_us = estimate_stall_us(work, quota_us, period_us, kernel.overrun_us)
    return work.waiting_us + work.cpu_us / work.cores + stall_us


def find_unstalled_mb(anatomy: Anatomy) -> int:
    """The size from which on more memory makes nothing faster."""
    if anatomy.period_us == 0:
        return 0
    cores = min(anatomy.work.cpu_us / anatomy.period_us, anatomy.work.cores)
    return -int(-cores * MB_PER_CORE // 1)


def _find_bursts(
    work: Work, stalled_us: float, grant: tuple[float, float], kernel: Kernel
) -> float:
    """The number of bursts with which `work` is stopped for as long as it was."""
    cpu_us, waiting_us, cores, _ = work
    wanted_us = max(stalled_us, _STALL_US_MIN)
    best, best_error = 1.0, float("inf")
    for bursts in _BURSTS:  # the more, the less it is stopped
        tried = Work(cpu_us, waiting_us, cores, bursts)
        stall_us = estimate_stall_us(tried, *grant, kernel.overrun_us)
        error = abs(stall_us - stalled_us)
        if error < best_error:
            best, best_error = bursts, error
        if stall_us <= wanted_us:
            break
    return max(best, kernel.bursts_usual) if stalled_us < _STALL_US_MIN else best


def _estimate_cooling(memory_mb: int, cores: float, kernel: Kernel) -> float:
    """How much more CPU time the same work takes where it is often stopped."""
    return 1.0 + kernel.cooling * (1.0 - min(1.0, memory_mb / (MB_PER_CORE * cores)))
