"""The kernel's CPU bandwidth control: how long a sandbox stands still under a quota.

Not here: where the time of a function went (`anatomy`), the curve over sizes (`curve`).

A sandbox may use `quota` of CPU time in each `period`; then it is stopped until the next begins.
Three things make that differ from "CPU time divided by the share":

* What is unused is lost at the refill, which comes at any moment of a burst. Averaged over that
  moment a burst of `c` takes `q + (c - q) / s` at one core, with `s = q / period`.
* Time is charged at the tick (every 4 ms at 250 Hz), so a burst overruns its quota by up to a tick
  and pays in later periods, unless it has ended. Of each burst 2 ms are free on average; 2.25 fit
  the measured functions best (`bench/tuning.py`).
* A pause refills. A function that computes in `n` bursts has the quota and the tick `n` times, as
  far as its pauses are long enough to earn them.

Plain arithmetic only (no logarithms): the same bits on every machine. Times in microseconds.
"""

from functools import cache
from typing import NamedTuple

MB_PER_CORE = 1769  # as on Lambda
QUOTA_US_MIN = 1_000  # the kernel grants no less


class Kernel(NamedTuple):
    """What was learnt about the kernel and about usual functions (`bench/tuning.py`)."""

    overrun_us: float = 2_250.0  # of each burst, free on average
    # CPU time itself grows by up to this part where a function is often stopped: caches cool down.
    cooling: float = 0.06
    # Bursts to suppose where nothing that was measured tells: a few calls to elsewhere.
    bursts_usual: float = 4.0


KERNEL = Kernel()


class Work(NamedTuple):
    """What one invocation does, whatever the quota."""

    cpu_us: float  # of all threads together
    waiting_us: float
    cores: float = 1.0  # that it keeps busy at once
    bursts: float = 1.0  # in which the CPU time comes, with pauses between


@cache
def grant_quota_us(memory_mb: int, period_us: int) -> int:
    """The CPU time of each period that is proportional to memory."""
    return max(memory_mb * period_us // MB_PER_CORE, QUOTA_US_MIN)


def estimate_stall_us(
    work: Work, quota_us: float, period_us: float, overrun_us: float = KERNEL.overrun_us
) -> float:
    """The wall time for which `work` is stopped, on average."""
    cpu_us, waiting_us, cores, bursts = work
    share = quota_us / period_us
    if share >= cores or cpu_us <= 0:
        return 0.0
    free_us = quota_us + overrun_us * (cores if cores < 2 else 2.0)
    at_full_speed_us = quota_us
    if bursts > 1:
        earned_us = share * waiting_us / bursts  # in one pause
        free_us += (bursts - 1) * (min(earned_us, free_us))
        at_full_speed_us += (bursts - 1) * (min(earned_us, quota_us))
    at_full_speed_us = min(at_full_speed_us, cpu_us)
    stall_us = (cpu_us - free_us) / share - (cpu_us - at_full_speed_us) / cores
    if cpu_us <= quota_us * bursts:
        return stall_us if stall_us > 0 else 0.0
    return bursts * _soften(stall_us / bursts, (period_us - quota_us / cores) / 2)


def _soften(stall_us: float, spread_us: float) -> float:
    """The mean of max(0, x) where x lies evenly within `spread_us` of `stall_us`."""
    if spread_us <= 0 or stall_us >= spread_us:
        return max(stall_us, 0.0)
    if stall_us <= -spread_us:
        return 0.0
    return (stall_us + spread_us) * (stall_us + spread_us) / (4 * spread_us)
