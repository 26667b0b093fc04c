"""The result document that a sender reads: pure, the same bytes for the same event.

Not here: where it is put (`stage`). The names are those of `docs/design.md`; workers of this kind
had some of them before, and they stay.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from publisher.log_lines import frame_logs
from shared.events import (
    Accuracy,
    Advice,
    Breakdown,
    Execution,
    Failure,
    InvocationTuned,
    Outcome,
    Phases,
    Profile,
    S3Object,
    Start,
)

STATUS = {
    Outcome.SUCCEEDED: "SUCCESS",
    Outcome.FAILED: "FAILED",
    Outcome.TIMED_OUT: "TIMEOUT",
    Outcome.OUT_OF_MEMORY: "OUT_OF_MEMORY",
    Outcome.CRASHED: "CRASHED",
    Outcome.REJECTED: "REJECTED",
}

_MIB = 1 << 20
_KEY_BYTES_MAX = 1_024  # of S3


class _Part(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the document; fields in the order of the page."""


class _PhasesPart(_Part, frozen=True, kw_only=True, rename="camel"):
    queued_ms: float
    code_ms: float
    sandbox_ms: float
    init_ms: float
    run_ms: float
    input_ms: float | UnsetType = UNSET  # where there was an inputS3
    output_ms: float | UnsetType = UNSET  # where there were output files


class _ErrorPart(_Part, frozen=True, kw_only=True, rename="camel"):
    type: str
    message: str
    stack: tuple[str, ...]


class _ResourcesPart(_Part, frozen=True, kw_only=True, rename="camel"):
    memory_used_mb: int | None  # None: nothing was measured
    memory_limit_mb: int | None
    memory_accuracy: str
    cpu_usage_percent: float  # of one core, over the run; above 100 with several threads
    cpu_user_micros: int
    cpu_system_micros: int
    throttled_micros: int
    network_rx_bytes: int
    network_tx_bytes: int
    disk_read_bytes: int
    disk_write_bytes: int


class _BreakdownPart(_Part, frozen=True, kw_only=True, rename="camel"):
    """Where the run went; the parts add up to `phases.runMs`."""

    on_cpu_ms: float
    throttled_ms: float
    run_queue_ms: float
    block_io_ms: float
    memory_pressure_ms: float
    waiting_ms: float
    unattributed_ms: float


class _TunerPart(_Part, frozen=True, kw_only=True, rename="camel"):
    recommendation: str
    lower_bound: str
    upper_bound: str
    savings: float  # percent of the compute price
    monthly_savings_usd: float | None  # None until a call rate was observed
    confidence: str
    findings: tuple[str, ...]
    tip: str


class _PlacePart(_Part, frozen=True, kw_only=True, rename="camel"):
    bucket: str
    key: str


class _Document(_Part, frozen=True, kw_only=True, rename="camel"):
    request_id: str
    function_id: str | None
    status: str
    output: Raw
    output_s3: _PlacePart | UnsetType = UNSET
    error: _ErrorPart | None
    duration_ms: float
    start: str | None
    attempt: int
    worker_id: str | None
    phases: _PhasesPart
    resources: _ResourcesPart | None
    breakdown: _BreakdownPart | None
    auto_tuner: _TunerPart | None
    logs: str
    logs_truncated: bool
    logs_s3: _PlacePart | UnsetType = UNSET
    output_files: tuple[_PlacePart, ...]
    output_files_s3: _PlacePart | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def build_document(event: InvocationTuned) -> bytes:
    """The result document, JSON. Whatever never was is null: no made-up figures."""
    execution, answer = event.execution, event.execution.answer
    ran = execution.start is not Start.NONE
    document = _Document(
        request_id=event.invocation_id,
        function_id=execution.function_id or None,
        status=STATUS[execution.outcome],
        output=answer.output,
        output_s3=_place_if_any(answer.output_s3),
        error=None if answer.failure is None else _error(answer.failure),
        duration_ms=_ms(execution.phases.run_us),
        start=execution.start.value if ran else None,
        attempt=execution.attempt,
        worker_id=execution.worker_id or None,
        phases=_phases(execution.phases),
        resources=_resources(execution, event.profile) if ran else None,
        breakdown=_breakdown(event.profile.breakdown) if ran else None,
        auto_tuner=None if event.advice is None else _tuner(event.advice),
        logs=frame_logs(event),
        logs_truncated=answer.logs_truncated,
        logs_s3=_place_if_any(answer.logs_s3),
        output_files=tuple(_place(file) for file in answer.output_files),
        output_files_s3=_place_if_any(answer.output_files_s3),
    )
    return _encoder.encode(document)


def make_document(event: InvocationTuned) -> tuple[bytes, str]:
    """The document and its key. Raises ValueError where S3 would refuse the key for ever."""
    key = document_key(event)
    if len(key.encode()) > _KEY_BYTES_MAX:
        raise ValueError(f"a request id of {len(event.invocation_id)} characters makes no S3 key")
    return build_document(event), key


def document_key(event: InvocationTuned) -> str:
    """The S3 key of the document: by the day of the request, in UTC."""
    day = datetime.fromtimestamp(event.execution.requested_at_ms / 1000, UTC)
    return f"results/{day:%Y/%m/%d}/{event.invocation_id}.json"


def _percent_of_core(profile: Profile, run_us: int) -> float:
    cpu_us = profile.cpu_user_us + profile.cpu_system_us
    return round(cpu_us / run_us * 100, 2) if run_us else 0.0


def _phases(phases: Phases) -> _PhasesPart:
    return _PhasesPart(
        queued_ms=_ms(phases.queued_us),
        code_ms=_ms(phases.code_us),
        sandbox_ms=_ms(phases.sandbox_us),
        init_ms=_ms(phases.init_us),
        run_ms=_ms(phases.run_us),
        input_ms=_ms(phases.input_us) if phases.input_us else UNSET,
        output_ms=_ms(phases.output_us) if phases.output_us else UNSET,
    )


def _error(failure: Failure) -> _ErrorPart:
    return _ErrorPart(type=failure.type, message=failure.message, stack=failure.stack)


def _resources(execution: Execution, profile: Profile) -> _ResourcesPart:
    measured = profile.memory_accuracy is not Accuracy.NONE
    return _ResourcesPart(
        memory_used_mb=-(-profile.memory_peak_bytes // _MIB) if measured else None,
        memory_limit_mb=None if execution.limits is None else execution.limits.memory_mb,
        memory_accuracy=profile.memory_accuracy.value,
        cpu_usage_percent=_percent_of_core(profile, execution.phases.run_us),
        cpu_user_micros=profile.cpu_user_us,
        cpu_system_micros=profile.cpu_system_us,
        throttled_micros=profile.throttled_us,
        network_rx_bytes=profile.network_rx_bytes,
        network_tx_bytes=profile.network_tx_bytes,
        disk_read_bytes=profile.disk_read_bytes,
        disk_write_bytes=profile.disk_write_bytes,
    )


def _breakdown(parts: Breakdown) -> _BreakdownPart:
    return _BreakdownPart(
        on_cpu_ms=_ms(parts.on_cpu_us),
        throttled_ms=_ms(parts.throttled_us),
        run_queue_ms=_ms(parts.run_queue_us),
        block_io_ms=_ms(parts.block_io_us),
        memory_pressure_ms=_ms(parts.memory_pressure_us),
        waiting_ms=_ms(parts.waiting_us),
        unattributed_ms=_ms(parts.unattributed_us),
    )


def _tuner(advice: Advice) -> _TunerPart:
    monthly_usd = advice.savings_monthly_usd
    return _TunerPart(
        recommendation=f"{advice.memory_mb}MB",
        lower_bound=f"{advice.memory_mb_min}MB",
        upper_bound=f"{advice.memory_mb_max}MB",
        savings=round(advice.savings_percent, 2),
        monthly_savings_usd=None if monthly_usd is None else round(monthly_usd, 4),
        confidence=advice.confidence.value,
        findings=tuple(finding.kind.value for finding in advice.findings),
        tip=advice.tip,
    )


def _place(place: S3Object) -> _PlacePart:
    return _PlacePart(bucket=place.bucket, key=place.key)


def _place_if_any(place: S3Object | None) -> _PlacePart | UnsetType:
    return UNSET if place is None else _place(place)


def _ms(us: int) -> float:
    return us / 1000
