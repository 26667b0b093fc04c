"""The result document: names, units, and null for what never was."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from publisher.document import STATUS, build_document, document_key
from shared.codec import decode, encode
from shared.events import (
    Accuracy,
    Advice,
    Answer,
    Breakdown,
    Confidence,
    Execution,
    Failure,
    Finding,
    FindingKind,
    InvocationTuned,
    Limits,
    Outcome,
    Phases,
    Profile,
    Runtime,
    S3Object,
    Start,
)

WASTEFUL = InvocationTuned(
    event_id="event-1",
    invocation_id="req-123",
    causation_id="cause-1",
    occurred_at_ms=1,
    execution=Execution(
        function_id="thumb",
        outcome=Outcome.SUCCEEDED,
        requested_at_ms=1_767_225_599_999,
        runtime=Runtime.PYTHON,
        start=Start.WARM,
        worker_id="host-1",
        limits=Limits(memory_mb=512, timeout_ms=3_000),
        phases=Phases(queued_us=2_000, run_us=450_123),
        answer=Answer(output=Raw(b'{"a": 1.10}'), logs="hello\n"),
    ),
    profile=Profile(
        cpu_user_us=41_200,
        cpu_system_us=9_800,
        cpu_utilisation_ratio=0.125,
        memory_peak_bytes=(44 << 20) + 1,
        memory_accuracy=Accuracy.EXACT,
        network_rx_bytes=512,
        network_tx_bytes=2_048,
        breakdown=Breakdown(on_cpu_us=51_000, waiting_us=399_123),
    ),
    advice=Advice(
        memory_mb=128,
        memory_mb_min=128,
        memory_mb_max=192,
        savings_percent=75.0,
        savings_monthly_usd=3.4,
        duration_ms=450.0,
        confidence=Confidence.HIGH,
        invocation_count=40,
        findings=(Finding(kind=FindingKind.RESOURCE_WASTE, evidence="9 % of the limit"),),
        tip="Switch to 128 MB.",
    ),
)


def read(event: InvocationTuned) -> Any:
    return json.loads(build_document(event))


def with_execution(**changes: Any) -> InvocationTuned:
    return structs.replace(WASTEFUL, execution=structs.replace(WASTEFUL.execution, **changes))


def test_the_whole_document() -> None:
    """Every name and unit of the page."""
    assert read(WASTEFUL) == {
        "requestId": "req-123",
        "functionId": "thumb",
        "status": "SUCCESS",
        "output": {"a": 1.1},
        "error": None,
        "durationMs": 450.123,
        "start": "warm",
        "attempt": 1,
        "workerId": "host-1",
        "phases": {"queuedMs": 2.0, "codeMs": 0, "sandboxMs": 0, "initMs": 0, "runMs": 450.123},
        "resources": {
            "memoryUsedMb": 45,
            "memoryLimitMb": 512,
            "memoryAccuracy": "exact",
            "cpuUsagePercent": 11.33,
            "cpuUserMicros": 41_200,
            "cpuSystemMicros": 9_800,
            "throttledMicros": 0,
            "networkRxBytes": 512,
            "networkTxBytes": 2_048,
            "diskReadBytes": 0,
            "diskWriteBytes": 0,
        },
        "breakdown": {
            "onCpuMs": 51.0,
            "throttledMs": 0,
            "runQueueMs": 0,
            "blockIoMs": 0,
            "memoryPressureMs": 0,
            "waitingMs": 399.123,
            "unattributedMs": 0,
        },
        "autoTuner": {
            "recommendation": "128MB",
            "lowerBound": "128MB",
            "upperBound": "192MB",
            "savings": 75.0,
            "monthlySavingsUsd": 3.4,
            "confidence": "high",
            "findings": ["resource_waste"],
            "tip": "Switch to 128 MB.",
        },
        "logs": (
            "START RequestId: req-123 Version: $LATEST\n"
            "hello\n"
            "END RequestId: req-123\n"
            "REPORT RequestId: req-123\tDuration: 450.12 ms\tBilled Duration: 451 ms\t"
            "Memory Size: 512 MB\tMax Memory Used: 45 MB\t\n"
        ),
        "logsTruncated": False,
        "outputFiles": [],
    }


def test_output_is_kept_byte_for_byte() -> None:
    """The function's JSON is not parsed and written again."""
    assert b'"output":{"a": 1.10},' in build_document(WASTEFUL)


def test_same_event_same_bytes() -> None:
    """Also after the log: a repeated publication writes the same object."""
    again = decode(encode(WASTEFUL))

    assert isinstance(again, InvocationTuned)
    assert build_document(again) == build_document(WASTEFUL)


def test_what_never_ran_has_no_figures() -> None:
    """A rejected message has an error, and null where nothing was measured."""
    document = read(
        InvocationTuned(
            event_id="event-1",
            invocation_id="req-1",
            causation_id="cause-1",
            occurred_at_ms=1,
            execution=Execution(
                function_id="",
                outcome=Outcome.REJECTED,
                requested_at_ms=0,
                answer=Answer(failure=Failure(type="Rejected", message="memoryMb is 64")),
            ),
            profile=Profile(),
        )
    )

    assert document["status"] == "REJECTED"
    assert document["error"] == {"type": "Rejected", "message": "memoryMb is 64", "stack": []}
    nothing = ("output", "functionId", "start", "workerId", "resources", "breakdown", "autoTuner")
    assert [document[name] for name in nothing] == [None] * len(nothing)

    assert document["logs"] == ""


def test_the_report_of_a_cold_failure() -> None:
    """Init is shown and billed; the outcome and its type are told; a last line is ended."""
    answer = Answer(failure=Failure(type="Key\tError\n", message="'x'"), logs="half a line")
    event = with_execution(
        outcome=Outcome.FAILED,
        start=Start.COLD,
        phases=Phases(run_us=1_001, init_us=20_500),
        answer=answer,
    )

    lines = read(structs.replace(event, profile=Profile()))["logs"].splitlines()

    assert lines[1:3] == ["half a line", "END RequestId: req-123"]
    assert lines[3] == (
        "REPORT RequestId: req-123\tDuration: 1.00 ms\tBilled Duration: 22 ms\t"
        "Memory Size: 512 MB\tInit Duration: 20.50 ms\tStatus: error\tError Type: Key Error\t"
    )


def test_unmeasured_memory_is_null() -> None:
    """Zero would be a figure that nobody measured."""
    unmeasured = structs.replace(WASTEFUL, profile=Profile())

    assert read(unmeasured)["resources"]["memoryUsedMb"] is None


def test_large_output_and_files_are_named() -> None:
    """What lies in S3 is named by bucket and key."""
    answer = Answer(
        output_s3=S3Object(bucket="out", key="outputs/req-123.json"),
        output_files=(S3Object(bucket="out", key="outputs/req-123/a.png"),),
        logs_truncated=True,
        logs_s3=S3Object(bucket="out", key="logs/req-123.log"),
        output_files_s3=S3Object(bucket="out", key="outputs/req-123.files.json"),
    )
    document = read(with_execution(answer=answer))

    assert document["output"] is None
    assert document["logsS3"] == {"bucket": "out", "key": "logs/req-123.log"}
    assert document["outputFilesS3"] == {"bucket": "out", "key": "outputs/req-123.files.json"}
    assert document["outputS3"] == {"bucket": "out", "key": "outputs/req-123.json"}
    assert document["outputFiles"] == [{"bucket": "out", "key": "outputs/req-123/a.png"}]
    assert document["logsTruncated"] is True


def test_times_of_files_are_there_where_files_were() -> None:
    """Other documents stay as they are."""
    phases = structs.replace(WASTEFUL.execution.phases, input_us=1_500, output_us=2_000)
    document = read(with_execution(phases=phases))

    assert (1.5, 2.0) == (document["phases"]["inputMs"], document["phases"]["outputMs"])
    assert not {"inputMs", "outputMs"} & set(read(WASTEFUL)["phases"])


def test_every_outcome_has_a_status() -> None:
    """The closed list of the page."""
    assert set(STATUS) == set(Outcome)
    assert {read(with_execution(outcome=outcome))["status"] for outcome in Outcome} == {
        "SUCCESS", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CRASHED", "REJECTED",
    }  # fmt: skip


def test_key_by_the_day_in_utc() -> None:
    """The last millisecond of a year belongs to it."""
    assert document_key(WASTEFUL) == "results/2025/12/31/req-123.json"
    assert document_key(with_execution(requested_at_ms=1_767_225_600_000)) == (
        "results/2026/01/01/req-123.json"
    )


@given(st.integers(0, 1 << 50))
def test_memory_is_rounded_up(peak_bytes: int) -> None:
    """Never less than was used, never a whole MiB more."""
    profile = Profile(memory_peak_bytes=peak_bytes, memory_accuracy=Accuracy.EXACT)
    used_mb = read(structs.replace(WASTEFUL, profile=profile))["resources"]["memoryUsedMb"]

    assert 0 <= (used_mb << 20) - peak_bytes < 1 << 20
