"""One invocation under way, and the events that tell how it ended.

Pure but for the clocks it is given. Not here: sockets, sandboxes, the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Raw, json
from msgspec.structs import replace

from executor.frames import HEAD_BYTES_MAX
from executor.input_stream import InputStream
from executor.log_spool import LogFile
from shared.codec import EVENT_BYTES_MAX, UNREADABLE, encode
from shared.events import (
    Answer,
    Execution,
    Failure,
    InvocationFinished,
    InvocationRejected,
    InvocationRequested,
    Limits,
    Outcome,
    Phases,
    Readings,
    S3Object,
    Start,
    derive_event_id,
)
from shared.inbox import Delivery

MB_PER_VCPU = 1_769  # AWS Lambda: one full vCPU at this memory size
CPU_PERIOD_US = 20_000
_CPU_QUOTA_US_MIN = 1_000  # the kernel takes no smaller quota

_MESSAGE_MAX = 4_000
_STACK_MAX = 40
_STACK_LINE_MAX = 400


@dataclass(slots=True, eq=False)
class Invocation:
    """An invocation between its delivery and its commit. Times are of `time.monotonic_ns`."""

    delivery: Delivery
    request: InvocationRequested
    queued_us: int = 0
    code_us: int = 0
    sandbox_us: int = 0
    init_us: int = 0
    input_us: int = 0
    output_us: int = 0
    start: Start = Start.WARM
    adopted: bool = False  # a generic sandbox became the function's
    called_at_ns: int = 0
    input: InputStream | None = None  # inputS3, once it is opened
    offered: bool = False  # to another executor, or by it
    readings_before: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The request id."""
        return self.request.invocation_id

    @property
    def kind_of_start(self) -> str:
        """As the metrics say it: warm, cold, or generic for a cold one that was prepared."""
        return "generic" if self.adopted else self.start.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is known when an invocation ends."""

    outcome: Outcome
    run_us: int = 0
    output: bytes = b"null"
    output_s3: S3Object | None = None
    failure: Failure | None = None
    logs: str = ""
    logs_truncated: bool = False
    log_file: LogFile | None = None  # all of a long log, until it is in S3
    logs_s3: S3Object | None = None
    output_files: tuple[S3Object, ...] = ()
    output_files_s3: S3Object | None = None
    readings: Readings | None = None
    sandbox_id: str = ""


def decide_limits(request: InvocationRequested, cpu_policy: str, cpu_fixed: float) -> Limits:
    """What the sandbox of a request is granted: CPU proportional to memory as on Lambda, or fixed.

    `cpu_fixed` is in cores.
    """
    cores = request.memory_mb / MB_PER_VCPU if cpu_policy == "proportional" else cpu_fixed
    return Limits(
        memory_mb=request.memory_mb,
        timeout_ms=request.timeout_ms,
        cpu_quota_us=max(int(cores * CPU_PERIOD_US), _CPU_QUOTA_US_MIN),
        cpu_period_us=CPU_PERIOD_US,
    )


def check_output(body: bytes) -> Failure | None:
    """None when `body` is JSON; what comes out of a sandbox is believed only after this."""
    try:
        json.decode(body)
    except UNREADABLE as error:
        return Failure(type="Runtime.MarshalError", message=f"The result is not JSON: {error}")
    return None


def bound_failure(failure: Failure) -> Failure:
    """The failure cut to what an event can hold."""
    return Failure(
        type=failure.type[:200],
        message=failure.message[:_MESSAGE_MAX],
        stack=tuple(line[:_STACK_LINE_MAX] for line in failure.stack[:_STACK_MAX]),
    )


def finish(
    invocation: Invocation, ending: Ending, *, limits: Limits, worker_id: str, now_ms: int
) -> InvocationFinished:
    """The event that ends an invocation; smaller parts are left out until it fits the log."""
    request = invocation.request
    execution = Execution(
        function_id=request.function_id,
        outcome=ending.outcome,
        requested_at_ms=request.occurred_at_ms,
        runtime=request.runtime,
        start=invocation.start,
        attempt=invocation.delivery.attempt,
        worker_id=worker_id,
        sandbox_id=ending.sandbox_id,
        reply_to=request.reply_to,
        memory_auto=request.memory_auto,
        input_bytes=_count_input(invocation),
        limits=limits,
        phases=Phases(
            queued_us=invocation.queued_us,
            code_us=invocation.code_us,
            sandbox_us=invocation.sandbox_us,
            init_us=invocation.init_us,
            run_us=ending.run_us,
            input_us=invocation.input_us,
            output_us=invocation.output_us,
        ),
        answer=Answer(
            output=Raw(ending.output),
            output_s3=ending.output_s3,
            failure=None if ending.failure is None else bound_failure(ending.failure),
            logs=ending.logs,
            logs_truncated=ending.logs_truncated,
            logs_s3=ending.logs_s3,
            output_files=ending.output_files,
            output_files_s3=ending.output_files_s3,
        ),
    )
    readings = None if ending.readings is None else leave_out_unchanged(ending.readings)
    event = _finished(request, execution, readings, now_ms)
    if readings and readings.series and not fits([event]):
        event = replace(event, readings=replace(readings, series=None))
    return event


def leave_out_unchanged(readings: Readings) -> Readings:
    """Each text that reads the same after as before once: half of an event's bytes."""
    before, after = readings.before, readings.after
    unchanged = [name for name, text in before.items() if after.get(name) == text]
    if not unchanged:
        return readings
    changed = {name: text for name, text in before.items() if name not in unchanged}
    return replace(readings, before=changed, unchanged=tuple(unchanged))


def _count_input(invocation: Invocation) -> int:
    if invocation.input is not None:
        return invocation.input.version.size_bytes
    return memoryview(invocation.request.input).nbytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The sender must mend a field before this can run."""

    field: str
    reason: str


MEMORY_MB_MIN = 8  # Docker refuses less than 6
TIMEOUT_MS_MAX = 900_000
ENV_VARS_BYTES_MAX = HEAD_BYTES_MAX - 4_096  # they travel in the head of a frame


def fit_to_host(request: InvocationRequested, memory_mb_max: int) -> InvocationRequested:
    """The request, with as much as this host can grant where the tuner chose more."""
    if request.memory_auto and request.memory_mb > memory_mb_max:
        return replace(request, memory_mb=memory_mb_max)
    return request


def refuse(request: InvocationRequested, memory_mb_max: int) -> Refused | None:
    """Why this host cannot run the request at all; None when it can.

    What ingest lets through has limits that make sense; an entry that was put back by hand, or
    written by another version, may not.
    """
    if request.memory_mb < MEMORY_MB_MIN:
        return Refused("memoryMb", f"is {request.memory_mb}; at least {MEMORY_MB_MIN} are granted")
    if not 1 <= request.timeout_ms <= TIMEOUT_MS_MAX:
        return Refused("timeoutMs", f"is {request.timeout_ms}; it must be 1 to {TIMEOUT_MS_MAX}")
    env_vars_bytes = len(json.encode(request.env_vars))
    if env_vars_bytes > ENV_VARS_BYTES_MAX:
        reason = f"takes {env_vars_bytes} bytes as JSON; at most {ENV_VARS_BYTES_MAX} are passed on"
        return Refused("envVars", reason)
    if request.memory_mb > memory_mb_max:
        reason = (
            f"is {request.memory_mb}; this host grants {memory_mb_max} MB to all sandboxes "
            "together (MEMORY_BUDGET_MB)"
        )
        return Refused("memoryMb", reason)
    return None


def reject(
    request: InvocationRequested | InvocationRejected,
    refused: Refused,
    *,
    attempt: int,
    worker_id: str,
    now_ms: int,
) -> InvocationFinished:
    """The event for what never ran: the field to mend and why."""
    execution = Execution(
        function_id=request.function_id,
        outcome=Outcome.REJECTED,
        requested_at_ms=request.occurred_at_ms,
        runtime=request.runtime if isinstance(request, InvocationRequested) else None,
        attempt=attempt,
        worker_id=worker_id,
        reply_to=request.reply_to,
        answer=Answer(
            failure=bound_failure(
                Failure(type="Rejected", message=f"{refused.field}: {refused.reason}")
            )
        ),
    )
    return _finished(request, execution, None, now_ms)


def _finished(
    request: InvocationRequested | InvocationRejected,
    execution: Execution,
    readings: Readings | None,
    now_ms: int,
) -> InvocationFinished:
    return InvocationFinished(
        event_id=derive_event_id(request.event_id, "InvocationFinished"),
        invocation_id=request.invocation_id,
        causation_id=request.event_id,
        occurred_at_ms=now_ms,
        execution=execution,
        readings=readings,
    )


def fits(events: Sequence[InvocationFinished]) -> bool:
    """Whether each event is small enough for the log; the later stages add to it."""
    return all(len(encode(event)) <= EVENT_BYTES_MAX - 16_384 for event in events)
