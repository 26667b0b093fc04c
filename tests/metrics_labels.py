"""Every value that a label of a metric may have: what bounds the number of series.

Not derived from what ran: a value that is missing here makes a test fail.
"""

from shared.events import FindingKind, Outcome, Runtime
from shared.topology import STREAMS

STAGES = (
    "local", "ingest", "executor", "profiler", "tuner", "publisher", "replay", "traces",
    "archive", "console",
)  # fmt: skip
_OUTCOMES = {one.value for one in Outcome}
_OPERATIONS = (
    "GetObject", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload",
    "AbortMultipartUpload", "ListObjectsV2", "ReceiveMessage",
    "GetQueueAttributes",
    "DeleteMessageBatch", "ChangeMessageVisibilityBatch",
)  # fmt: skip

_LABELS: dict[str, tuple[str, ...]] = {
    "runtime": (*(one.value for one in Runtime), "none"),
    "start": ("warm", "generic", "cold", "none"),
    "stage": STAGES,
    "dependency": (
        "redis", "redis_memory", "s3", "sqs", "sqs_queue", "sqs_permission", "sandbox", "otlp",
    ),
    "service": ("s3", "sqs"),
    "operation": _OPERATIONS,
    "reason": (
        "expired", "evicted", "died_idle", "refused", "shutdown", "protocol", "init_failed",
        "input_failed", "output_files", "left", "hung",
        *sorted(_OUTCOMES),
    ),
    "state": ("busy", "idle", "generic"),
    "owner": ("function", "generic"),
    "direction": ("in", "out"),
    "action": ("advice", "safety", "roll_back"),
    "status": ("SUCCESS", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CRASHED", "REJECTED"),
    "stream": tuple(one.name for one in STREAMS),
}  # fmt: skip

# These labels mean something else in each metric.
_OF_METRIC: dict[tuple[str, str], tuple[str, ...]] = {
    ("worker_jobs_processed", "outcome"): tuple(sorted(_OUTCOMES)),
    ("hearth_messages", "outcome"): ("accepted", "duplicate", "rejected", "dead", "settled"),
    ("hearth_commits", "outcome"): ("committed", "fenced"),
    ("hearth_aws_call_duration_seconds", "outcome"): (
        "ok", "refused", "throttled", "failed", "unanswered",
    ),
    ("hearth_aws_call_duration_seconds", "stage"): (
        "ingest", "executor", "publisher", "archive", "tuner", "replay",
    ),
    ("hearth_hand_overs", "outcome"): ("given", "kept", "unanswered"),
    ("hearth_leases_lost", "reason"): ("refused", "twelve_hours"),
    ("hearth_code_fetches", "outcome"): ("downloaded", "unchanged", "refused", "stale"),
    ("hearth_code_cache_lookups", "outcome"): ("hit", "miss"),
    ("hearth_replays", "outcome"): ("refreshed", "skipped", "failed"),
    ("hearth_traces", "outcome"): ("exported", "failed"),
    ("hearth_sandbox_starts", "kind"): ("docker", "bubblewrap"),
    ("hearth_findings", "kind"): tuple(one.value for one in FindingKind),
    ("hearth_uploads", "kind"): ("output", "log", "file", "listing"),
}  # fmt: skip


def values_of(metric: str, label: str) -> tuple[str, ...]:
    """What a label of a metric may be; a KeyError where nobody has thought about it."""
    return _OF_METRIC.get((metric, label)) or _LABELS[label]
