"""How an invocation ended, in the words its sender reads: pure interpretation."""

from executor.invocation import Ending
from executor.sandbox import Exit
from shared.events import Failure, Limits, Outcome, Readings


def interpret_answer(
    failure: Failure | None,
    body: bytes,
    readings: Readings,
    *,
    run_us: int,
    logs: str,
    truncated: bool,
    memory_mb: int,
) -> Ending:
    """The function answered: it succeeded, failed, or failed because the kernel killed a part."""
    if failure is None:
        outcome = Outcome.SUCCEEDED
    elif count_oom_kills(readings.after) > count_oom_kills(readings.before):
        outcome = Outcome.OUT_OF_MEMORY
        failure = Failure(
            type="Sandbox.OutOfMemory",
            message=f"A process of the function was killed at its limit of {memory_mb} MB; then: "
            f"{failure.message}",
            stack=failure.stack,
        )
    else:
        outcome = Outcome.FAILED
    return Ending(
        outcome=outcome,
        run_us=run_us,
        output=b"null" if failure else body,
        failure=failure,
        logs=logs,
        logs_truncated=truncated,
        readings=readings,
    )


def init_failed(failure: Failure, logs: str, *, truncated: bool) -> Ending:
    """The function's module could not be loaded."""
    return Ending(outcome=Outcome.FAILED, failure=failure, logs=logs, logs_truncated=truncated)


def timed_out(
    timeout_ms: int, readings: Readings | None, *, run_us: int, logs: str, truncated: bool
) -> Ending:
    """The deadline passed; the wording is Lambda's."""
    seconds = timeout_ms / 1000
    return Ending(
        outcome=Outcome.TIMED_OUT,
        run_us=run_us,
        failure=Failure(
            type="Sandbox.Timedout",
            message=f"Task timed out after {seconds:.2f} seconds. Raise timeoutMs (at most 900000) "
            "or make the function faster.",
        ),
        logs=logs,
        logs_truncated=truncated,
        readings=readings,
    )


def crashed(
    why: Exit,
    readings: Readings | None,
    *,
    run_us: int,
    logs: str,
    truncated: bool,
    limits: Limits,
) -> Ending:
    """The sandbox's process is gone: out of memory, or by its own doing."""
    if why.out_of_memory:
        outcome = Outcome.OUT_OF_MEMORY
        failure = Failure(
            type="Sandbox.OutOfMemory",
            message=f"The function needed more than its limit of {limits.memory_mb} MB and was "
            "killed. Raise memoryMb.",
        )
    else:
        outcome = Outcome.CRASHED
        failure = Failure(
            type="Runtime.ExitError",
            message=f"Runtime exited with error: {why.reason}. The function ended its process "
            "instead of returning.",
        )
    return Ending(
        outcome=outcome,
        run_us=run_us,
        failure=failure,
        logs=logs,
        logs_truncated=truncated,
        readings=readings,
    )


def count_oom_kills(files: dict[str, str]) -> int:
    """Kills that the cgroup's files tell of; 0 where they are missing."""
    for name in ("memory.oom_control", "memory.events"):
        for line in files.get(name, "").splitlines():
            word, _, number = line.partition(" ")
            if word == "oom_kill" and number.strip().isdigit():
                return int(number)
    return 0
