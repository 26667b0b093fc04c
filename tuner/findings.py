"""What is noticed about a function, each finding with the figures that show it.

Not here: what to do about it (`recommendation`), how people are told (`tips`).
"""

from shared.events import Accuracy, Execution, Finding, FindingKind, Limits, Profile
from tuner.choice import MEBIBYTE, MEMORY_MB_MIN
from tuner.state import FunctionState

_RISK_PERCENT = 85
_WASTE_PERCENT = 30
_IDLE_RATIO = 0.2
_IO_BOUND_US_MIN = 100_000
_UNTHROTTLED_PERMILLE = 10  # of the run; a stray period at its edge is no throttling

_CAVEATS = {
    Accuracy.EXACT: "",
    Accuracy.PROCESS_EXACT: "; child processes are not counted",
    Accuracy.UPPER_BOUND: "; the highest of the sandbox's lifetime",
    Accuracy.NONE: "",
}


def find_all(
    state: FunctionState, limits: Limits, execution: Execution, profile: Profile, advised_mb: int
) -> tuple[Finding, ...]:
    """Findings of a function at its present limit; the newest invocation is folded in already.

    Memory is judged by the highest peak of all: a small input does not make a limit too large.
    """
    found = (
        find_memory_risk(state, limits, profile),
        find_resource_waste(state, limits, profile, advised_mb),
        find_io_bound(execution, profile),
    )
    return tuple([finding for finding in found if finding is not None])


def find_memory_risk(state: FunctionState, limits: Limits, profile: Profile) -> Finding | None:
    """The highest peak came too near to the limit, or passed it."""
    limit_mb = limits.memory_mb
    if state.out_of_memory_mb_max >= limit_mb:
        evidence = f"ran out of memory at {state.out_of_memory_mb_max} MB"
        return Finding(kind=FindingKind.MEMORY_RISK, evidence=evidence)
    if state.peak_bytes_max * 100 <= limit_mb * MEBIBYTE * _RISK_PERCENT:
        return None
    evidence = _describe_peak(state, limit_mb, profile)
    if profile.page_cache_bytes >= MEBIBYTE:
        cache_mb = profile.page_cache_bytes // MEBIBYTE
        evidence += f"; {cache_mb} MB of file cache in the latest call can be dropped"
    return Finding(kind=FindingKind.MEMORY_RISK, evidence=evidence)


def find_resource_waste(
    state: FunctionState, limits: Limits, profile: Profile, advised_mb: int
) -> Finding | None:
    """Memory was paid for that nothing ever used. At the smallest size nothing can be wasted."""
    limit_mb = limits.memory_mb
    if limit_mb <= MEMORY_MB_MIN or not state.peak_count:
        return None
    if state.out_of_memory_mb_max >= limit_mb:
        return None
    if state.peak_bytes_max * 100 >= limit_mb * MEBIBYTE * _WASTE_PERCENT:
        return None
    evidence = _describe_peak(state, limit_mb, profile)
    if advised_mb >= limit_mb:
        why = "memory also buys its CPU share" if state.duration_count else "no run was timed yet"
        evidence += f"; a smaller limit is not advised: {why}"
    return Finding(kind=FindingKind.RESOURCE_WASTE, evidence=evidence)


def find_io_bound(execution: Execution, profile: Profile) -> Finding | None:
    """It took long and hardly used the CPU that it could have had."""
    run_us = execution.phases.run_us
    if run_us < _IO_BOUND_US_MIN or profile.cpu_utilisation_ratio > _IDLE_RATIO:
        return None
    if {"cpu_user_us", "cpu_system_us", "throttled_us"}.intersection(profile.missing):
        return None
    if profile.throttled_us * 1_000 > run_us * _UNTHROTTLED_PERMILLE:
        return None
    percent = profile.cpu_utilisation_ratio * 100
    evidence = f"used {percent:.1f} % of its CPU share in {run_us / 1000:.0f} ms, not throttled"
    return Finding(kind=FindingKind.IO_BOUND, evidence=evidence)


def round_to_mb(count_bytes: int) -> int:
    """Whole MB for people, rounded up: a peak is never shown smaller than it was."""
    return -(-count_bytes // MEBIBYTE)


def _describe_peak(state: FunctionState, limit_mb: int, profile: Profile) -> str:
    percent = state.peak_bytes_max * 100 / (limit_mb * MEBIBYTE)
    return (
        f"peak {round_to_mb(state.peak_bytes_max)} MB of {limit_mb} MB ({percent:.0f} %)"
        f"{_CAVEATS[profile.memory_accuracy]}"
    )
