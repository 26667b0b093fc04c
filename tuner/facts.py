"""The facts of one invocation: the part of an InvocationProfiled that the tuner folds.

Not here: the fold (`state`). From an event, or from a row of the archive (`columns`): the state is
the same to the byte.
"""

from typing import NamedTuple

from shared.events import Accuracy, InvocationProfiled, Outcome, Start
from tuner.samples import is_proportional


class Facts(NamedTuple):
    """Of an invocation that ran. Times in microseconds unless they say otherwise."""

    event_id: str
    at_ms: int
    sandbox_id: str
    memory_mb: int
    cpu_quota_us: int | None
    cpu_period_us: int
    is_cold: bool
    is_timed: bool  # its duration teaches something
    ran_out_of_memory: bool
    run_us: int
    init_us: int
    cpu_us: int
    throttled_us: int
    peak_bytes: int | None  # None: not measured
    baseline_bytes: int
    input_bytes: int


def has_run(event: InvocationProfiled) -> bool:
    """Whether a sandbox was asked to run it. What was rejected says nothing about the function."""
    execution = event.execution
    return (
        execution.limits is not None
        and execution.start is not Start.NONE
        and execution.outcome is not Outcome.REJECTED
    )


def read_facts(event: InvocationProfiled) -> Facts:
    """The facts of an event of which `has_run` is true."""
    execution, profile = event.execution, event.profile
    limits = execution.limits
    assert limits is not None, "has_run was asked"
    grant = (limits.memory_mb, limits.cpu_quota_us, limits.cpu_period_us)
    succeeded = execution.outcome is Outcome.SUCCEEDED and execution.phases.run_us > 0
    knows_cpu = not {"cpu_user_us", "cpu_system_us"}.intersection(profile.missing)
    return Facts(
        event_id=event.event_id,
        at_ms=event.occurred_at_ms,
        sandbox_id=execution.sandbox_id,
        memory_mb=limits.memory_mb,
        cpu_quota_us=limits.cpu_quota_us,
        cpu_period_us=limits.cpu_period_us,
        is_cold=execution.start is Start.COLD,
        # A failed run ends early or late; a share of the CPU is understood with the CPU time only.
        is_timed=succeeded and (knows_cpu or not is_proportional(*grant)),
        # The function itself was killed for memory, or a process that it had started.
        ran_out_of_memory=execution.outcome is Outcome.OUT_OF_MEMORY or profile.oom_kills > 0,
        run_us=execution.phases.run_us,
        init_us=execution.phases.init_us,
        cpu_us=profile.cpu_user_us + profile.cpu_system_us if knows_cpu else 0,
        throttled_us=profile.throttled_us,
        peak_bytes=(
            None if profile.memory_accuracy is Accuracy.NONE else profile.memory_peak_bytes
        ),
        baseline_bytes=profile.memory_baseline_bytes,
        input_bytes=execution.input_bytes,
    )
