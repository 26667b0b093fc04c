"""What is noticed about a function, each finding with the figures that show it.

Not here: what to do about it (`recommendation`), how people are told (`tips`).
"""

from typing import NamedTuple

from shared.events import Accuracy, Execution, Finding, FindingKind, Limits, Profile
from tuner.floor import MEBIBYTE, MEMORY_MB_MIN
from tuner.inputs import fit_peak
from tuner.leak import find_leak
from tuner.samples import Sums
from tuner.state import FunctionState, find_samples

_RISK_PERCENT = 85
_WASTE_PERCENT = 30
_IDLE_RATIO = 0.2
_IO_BOUND_US_MIN = 100_000
_UNTHROTTLED_PERMILLE = 10  # of the run; a stray period at its edge is no throttling
_THROTTLED_PERCENT = 20
_CPU_BOUND_PERCENT = 80
_CPU_BOUND_US_MIN = 10_000
_INIT_US_MIN = 250_000

_CAVEATS = {
    Accuracy.EXACT: "",
    Accuracy.PROCESS_EXACT: "; child processes are not counted",
    Accuracy.UPPER_BOUND: "; the highest of the sandbox's lifetime",
    Accuracy.NONE: "",
}


class Subject(NamedTuple):
    """A function and its newest invocation, which is folded in already."""

    state: FunctionState
    limits: Limits
    execution: Execution
    profile: Profile
    advised_mb: int


def find_all(subject: Subject) -> tuple[Finding, ...]:
    """Findings of a function at its present limit.

    Memory is judged by the highest peak of all: a small input does not make a limit too large.
    """
    state, limits, profile = subject.state, subject.limits, subject.profile
    found = (
        find_memory_risk(state, limits, profile),
        find_resource_waste(subject),
        find_io_bound(subject.execution, profile),
        find_cpu_throttled(state, limits),
        find_cpu_bound(state, limits),
        find_init_heavy(state),
        find_memory_leak(state),
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
    line = fit_peak(state.inputs)
    if line is not None:
        peak_mb = (line.base + line.slope * state.inputs.x_max) / 1024
        evidence += (
            f"; it grows with the input, by {line.slope * 1024:.1f} bytes for each, to about "
            f"{peak_mb:.0f} MB for the largest seen ({state.inputs.x_max / 1024:.0f} KiB)"
        )
    return Finding(kind=FindingKind.MEMORY_RISK, evidence=evidence)


def find_resource_waste(subject: Subject) -> Finding | None:
    """Memory was paid for that nothing ever used. At the smallest size nothing can be wasted."""
    state, limit_mb = subject.state, subject.limits.memory_mb
    if limit_mb <= MEMORY_MB_MIN or not state.peak_count:
        return None
    if state.out_of_memory_mb_max >= limit_mb:
        return None
    if state.peak_bytes_max * 100 >= limit_mb * MEBIBYTE * _WASTE_PERCENT:
        return None
    evidence = _describe_peak(state, limit_mb, subject.profile)
    if subject.advised_mb >= limit_mb:
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


def find_cpu_throttled(state: FunctionState, limits: Limits) -> Finding | None:
    """It wanted to go on and was stopped by its quota for a good part of the time."""
    sums = _mean_of(state, limits)
    if sums is None or not limits.cpu_quota_us or limits.cpu_period_us <= 0:
        return None
    busy_us = sums.cpu_us + sums.throttled_us
    stopped_us = sums.throttled_us * sums.run_us // max(busy_us, sums.run_us)
    if stopped_us * 100 < sums.run_us * _THROTTLED_PERCENT:
        return None
    percent = stopped_us * 100 / sums.run_us
    share = limits.cpu_quota_us / limits.cpu_period_us
    evidence = (
        f"stopped for {percent:.0f} % of {sums.mean_run_us / 1000:.0f} ms "
        f"by its share of {share:.2f} cores; {max(busy_us / sums.run_us, 1.0):.1f} were wanted"
    )
    return Finding(kind=FindingKind.CPU_THROTTLED, evidence=evidence)


def find_cpu_bound(state: FunctionState, limits: Limits) -> Finding | None:
    """It computes nearly all the time, and nothing stops it."""
    sums = _mean_of(state, limits)
    if sums is None or sums.mean_run_us < _CPU_BOUND_US_MIN:
        return None
    if sums.throttled_us * 100 >= sums.run_us * _THROTTLED_PERCENT:
        return None
    if sums.cpu_us * 100 < sums.run_us * _CPU_BOUND_PERCENT:
        return None
    cores = sums.cpu_us / sums.run_us
    evidence = f"kept {cores:.2f} cores busy for {sums.mean_run_us / 1000:.0f} ms"
    return Finding(kind=FindingKind.CPU_BOUND, evidence=evidence)


def find_init_heavy(state: FunctionState) -> Finding | None:
    """Loading the function takes long, and longer than running it."""
    colds = [samples.cold for samples in state.sizes if samples.cold.count]
    count = sum([sums.count for sums in colds])
    if not count:
        return None
    init_us = sum([sums.init_us for sums in colds]) / count
    runs = [sums for one in state.sizes for sums in (one.warm, one.cold) if sums.count]
    run_us = sum([sums.run_us for sums in runs]) / sum([sums.count for sums in runs])
    if init_us < _INIT_US_MIN or init_us < run_us:
        return None
    percent = state.cold_count * 100 / state.call_count
    evidence = (
        f"loading takes {init_us / 1000:.0f} ms, a run {run_us / 1000:.0f} ms; "
        f"{percent:.1f} % of the calls are cold starts"
    )
    return Finding(kind=FindingKind.INIT_HEAVY, evidence=evidence)


def find_memory_leak(state: FunctionState) -> Finding | None:
    """What is in use between calls grows from call to call."""
    track = find_leak(state.sandboxes)
    if track is None:
        return None
    evidence = (
        f"between calls {round_to_mb(track.first_bytes)} MB became "
        f"{round_to_mb(track.last_bytes)} MB in {track.calls} calls of one sandbox"
    )
    return Finding(kind=FindingKind.MEMORY_LEAK, evidence=evidence)


def round_to_mb(count_bytes: int) -> int:
    """Whole MB for people, rounded up: a peak is never shown smaller than it was."""
    return -(-count_bytes // MEBIBYTE)


def _mean_of(state: FunctionState, limits: Limits) -> Sums | None:
    """The timed runs at the present limits, warm ones where there are any."""
    samples = find_samples(state.sizes, limits)
    if samples is None:
        return None
    sums = samples.warm if samples.warm.count else samples.cold
    return sums if sums.count else None


def _describe_peak(state: FunctionState, limit_mb: int, profile: Profile) -> str:
    percent = state.peak_bytes_max * 100 / (limit_mb * MEBIBYTE)
    return (
        f"peak {round_to_mb(state.peak_bytes_max)} MB of {limit_mb} MB ({percent:.0f} %)"
        f"{_CAVEATS[profile.memory_accuracy]}"
    )
