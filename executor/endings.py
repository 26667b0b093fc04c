"""How an invocation ended, in the words its sender reads: pure interpretation."""

from dataclasses import dataclass

from executor.invocation import Ending
from executor.log_spool import Log
from executor.sandbox import Exit
from shared.events import Failure, Limits, Outcome, Readings


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a run, however it ended."""

    sandbox_id: str
    run_us: int
    readings: Readings | None
    log: Log

    def end(self, outcome: Outcome, failure: Failure | None, output: bytes = b"null") -> Ending:
        """The ending that these remains belong to."""
        return Ending(
            outcome=outcome,
            run_us=self.run_us,
            output=output,
            failure=failure,
            logs=self.log.text,
            logs_truncated=self.log.truncated,
            log_file=self.log.file,
            readings=self.readings,
            sandbox_id=self.sandbox_id,
        )


def interpret_answer(failure: Failure | None, body: bytes, limits: Limits, left: Remains) -> Ending:
    """The function answered: it succeeded, failed, or failed because the kernel killed a part."""
    if failure is None:
        return left.end(Outcome.SUCCEEDED, None, body)
    readings = left.readings
    if readings and count_oom_kills(readings.after) > count_oom_kills(readings.before):
        message = (
            f"A process of the function was killed at its limit of {limits.memory_mb} MB; then: "
            f"{failure.message}"
        )
        killed = Failure(type="Sandbox.OutOfMemory", message=message, stack=failure.stack)
        return left.end(Outcome.OUT_OF_MEMORY, killed)
    return left.end(Outcome.FAILED, failure)


def timed_out(limits: Limits, left: Remains, why: str = "") -> Ending:
    """The deadline passed; the wording is Lambda's. `why` is what else is known, or empty."""
    message = (
        f"Task timed out after {limits.timeout_ms / 1000:.2f} seconds.{why} "
        "Raise timeoutMs (at most 900000) or make the function faster."
    )
    return left.end(Outcome.TIMED_OUT, Failure(type="Sandbox.Timedout", message=message))


def crashed(why: Exit, limits: Limits, left: Remains) -> Ending:
    """The sandbox's process is gone: out of memory, or by its own doing."""
    if why.out_of_memory:
        message = (
            f"The function needed more than its limit of {limits.memory_mb} MB and was killed. "
            "Raise memoryMb."
        )
        return left.end(Outcome.OUT_OF_MEMORY, Failure(type="Sandbox.OutOfMemory", message=message))
    message = (
        f"Runtime exited with error: {why.reason}. "
        "The function ended its process instead of returning."
    )
    return left.end(Outcome.CRASHED, Failure(type="Runtime.ExitError", message=message))


def broke_protocol(reason: str, left: Remains) -> Ending:
    """The sandbox sent what no bootstrap sends: it is not believed any more."""
    message = f"The sandbox sent {reason}: only the runtime may write to its socket."
    return left.end(Outcome.CRASHED, Failure(type="Sandbox.ProtocolViolation", message=message))


def count_oom_kills(files: dict[str, str]) -> int:
    """Kills that the cgroup's files tell of; 0 where they are missing."""
    for name in ("memory.oom_control", "memory.events"):
        for line in files.get(name, "").splitlines():
            word, _, number = line.partition(" ")
            if word == "oom_kill" and number.strip().isdigit():
                return int(number)
    return 0
