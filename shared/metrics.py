"""Every metric, in one place; the only file that knows prometheus_client.

Units are Prometheus base units: converted here and nowhere else. The processes of one host write
to a common folder (`settings.name_metrics_folder`), so this module is imported after the settings
were read.
"""

import os
from functools import cache
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
    values,
)

if values.ValueClass.__name__ == "MmapedValue":
    # It asks for its process id at every increment, in case of a fork: a system call on the path
    # of an invocation. No process of ours forks after this import.
    _PID = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: _PID)  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300, 900)

JOBS_PROCESSED = Counter("worker_jobs_processed", "Invocations that ended.", ["runtime", "outcome"])
EVAL_DURATION = Histogram(
    "worker_eval_duration_seconds", "Run phase of an invocation.", ["runtime"], buckets=_SECONDS
)
CPU_USAGE = Counter("worker_cpu_usage_seconds", "CPU time of invocations.", ["runtime"])
MEMORY_PEAK = Gauge(
    "worker_memory_peak_bytes",
    "Memory peak of the latest invocation.",
    ["runtime"],
    multiprocess_mode="mostrecent",
)
MESSAGES = Counter(
    "hearth_messages",
    "SQS messages by what became of them: accepted, duplicate, rejected, dead, settled.",
    ["outcome"],
)
VISIBILITY_EXTENDED = Counter("hearth_visibility_extended", "SQS leases that were extended.")
HANDLED = Counter("hearth_handled", "Entries handled, by stage.", ["stage"])
COMMITS = Counter(
    "hearth_commits", "Commits by stage and outcome: committed, fenced.", ["stage", "outcome"]
)
CLAIMED = Counter("hearth_claimed", "Entries taken over from dead consumers.", ["stage"])
DEAD_LETTERED = Counter("hearth_dead_lettered", "Entries buried in the dead stream.", ["stage"])
WAITING = Gauge(
    "hearth_waiting",
    "1 while a stage waits for something that does not answer.",
    ["stage", "dependency"],
    multiprocess_mode="livemax",
)
RETRIES = Counter("hearth_retries", "Tries that met an absent dependency.", ["stage", "dependency"])
STARTED = Gauge(
    "hearth_stage_started_timestamp_seconds",
    "When the newest process of a stage started.",
    ["stage"],
    multiprocess_mode="livemostrecent",
)
SANDBOX_STARTS = Counter("hearth_sandbox_starts", "Sandboxes started (cold starts).", ["kind"])
SANDBOX_STOPS = Counter("hearth_sandbox_stops", "Sandboxes destroyed, by reason.", ["reason"])
SANDBOXES = Gauge(
    "hearth_sandboxes", "Sandboxes: busy, idle, generic.", ["state"], multiprocess_mode="livesum"
)
HAND_OVERS = Counter(
    "hearth_hand_overs",
    "Cold starts offered to another executor: given, kept, unanswered.",
    ["outcome"],
)
SANDBOX_API_CALLS = Counter("hearth_sandbox_api_calls", "Calls to the Docker API.")
CODE_FETCHES = Counter(
    "hearth_code_fetches",
    "Looks at S3 for code: downloaded, unchanged, refused, stale.",
    ["outcome"],
)
S3_CALLS = Counter("hearth_s3_calls", "Calls to S3, by stage.", ["stage"])
STREAMED = Counter(
    "hearth_streamed_bytes", "Bytes of inputs and output files: in, out.", ["direction"]
)
FINDINGS = Counter("hearth_findings", "What the tuner noticed.", ["kind"])
LIMIT_CHANGES = Counter(
    "hearth_limit_changes", "Limits that the tuner set: advice, safety, roll_back.", ["action"]
)
SAVINGS = Gauge(
    "hearth_savings_usd_per_month",
    "Savings that the current advice promises, all functions.",
    multiprocess_mode="livesum",
)
PUBLISHED = Counter("hearth_published", "Results published, by status.", ["status"])
ARCHIVED = Counter("hearth_archived_entries", "Entries written to the archive.", ["stream"])
TRIMMED = Counter("hearth_trimmed_entries", "Entries removed from Redis.", ["stream"])
ARCHIVE_LAG = Gauge(
    "hearth_archive_lag_seconds",
    "Age of the oldest entry that is not archived.",
    ["stream"],
    multiprocess_mode="livemax",
)
REDIS_MEMORY = Gauge(
    "hearth_redis_memory_bytes", "Memory that Redis uses.", multiprocess_mode="livemostrecent"
)
REDIS_MEMORY_MAX = Gauge(
    "hearth_redis_memory_max_bytes",
    "Memory that Redis may use; 0 without a bound.",
    multiprocess_mode="livemostrecent",
)


# Looking a label up costs more than counting, so the path of an invocation does it once a value.


@cache
def jobs_processed(runtime: str, outcome: str) -> Counter:
    """The counter of one runtime and outcome."""
    return JOBS_PROCESSED.labels(runtime, outcome)


@cache
def eval_duration(runtime: str) -> Histogram:
    """The histogram of one runtime."""
    return EVAL_DURATION.labels(runtime)


@cache
def cpu_usage(runtime: str) -> Counter:
    """The counter of one runtime."""
    return CPU_USAGE.labels(runtime)


@cache
def memory_peak(runtime: str) -> Gauge:
    """The gauge of one runtime."""
    return MEMORY_PEAK.labels(runtime)


def render(folder: Path | None) -> bytes:
    """All metrics as text: of every process that writes to `folder`, or of this one."""
    if folder is None:
        return generate_latest(REGISTRY)
    for pid in {file.stem.rpartition("_")[2] for file in folder.glob("*.db")}:
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            multiprocess.mark_process_dead(int(pid), path=os.fspath(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=os.fspath(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)
