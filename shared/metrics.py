"""Every metric, in one place; only this file and `metrics_text` know prometheus_client.

Units are Prometheus base units: converted here and nowhere else. The processes of one host write
to a common folder (`settings.name_metrics_folder`), so this module is imported after the settings
were read. Labels are of closed lists, never an id or anything a sender chooses.

One increment costs 0.5 µs, an observation 1.2, a look-up by label 0.7 more (`docs/design.md`): the
path of a warm invocation counts in turns or batches where it can, and looks labels up once.
"""

import os
from functools import cache

from prometheus_client import Counter, Gauge, Histogram, values

if values.ValueClass.__name__ == "MmapedValue":
    # It asks for its process id at every increment, in case of a fork: a system call on the path
    # of an invocation. No process of ours forks after this import.
    _PID = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: _PID)  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300, 900)
_START_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# -- invocations -----------------------------------------------------------------------------------

JOBS_PROCESSED = Counter(
    "worker_jobs_processed",
    "Invocations that ended, by runtime, outcome and start: warm, generic, cold, none.",
    ["runtime", "outcome", "start"],
)
EVAL_DURATION = Histogram(
    "worker_eval_duration_seconds",
    "Run phase of an invocation: from the call of the handler to its answer.",
    ["runtime"],
    buckets=_SECONDS,
)
CPU_USAGE = Counter(
    "worker_cpu_usage_seconds",
    "CPU time of invocations, user and system, all threads.",
    ["runtime"],
)
MEMORY_PEAK = Gauge(
    "worker_memory_peak_bytes",
    "Memory peak of the invocation that was profiled last.",
    ["runtime"],
    multiprocess_mode="mostrecent",
)
RESULT_LATENCY = Histogram(
    "hearth_result_latency_seconds",
    "From the message's acceptance to its announced result, waits and retries included.",
    buckets=_SECONDS,
)
START_DURATION = Histogram(
    "hearth_start_duration_seconds",
    "Sandbox and init of an invocation that found no warm sandbox, by start: generic, cold.",
    ["runtime", "start"],
    buckets=_START_SECONDS,
)

# -- every stage -----------------------------------------------------------------------------------

HANDLED = Counter("hearth_handled", "Entries that a stage handled.", ["stage"])
COMMITS = Counter(
    "hearth_commits",
    "Commits by stage and outcome: committed, or fenced off since another owns the entry.",
    ["stage", "outcome"],
)
CLAIMED = Counter(
    "hearth_claimed", "Entries taken over from consumers that fell silent.", ["stage"]
)
DEAD_LETTERED = Counter("hearth_dead_lettered", "Entries buried in the dead stream.", ["stage"])
WAITING = Gauge(
    "hearth_waiting",
    "1 while a stage waits for something that does not answer.",
    ["stage", "dependency"],
    multiprocess_mode="livemax",
)
RETRIES = Counter(
    "hearth_retries", "Tries that met a dependency which did not answer.", ["stage", "dependency"]
)
STARTED = Gauge(
    "hearth_stage_started_timestamp_seconds",
    "When the newest process of a stage started.",
    ["stage"],
    multiprocess_mode="livemostrecent",
)
AWS_CALL_DURATION = Histogram(
    "hearth_aws_call_duration_seconds",
    "Calls to S3 and SQS, their own retries included, bodies of downloads not; by operation and "
    "outcome: ok, refused, throttled, failed, unanswered.",
    ["stage", "service", "operation", "outcome"],
    buckets=_CALL_SECONDS,
)

# -- ingest ----------------------------------------------------------------------------------------

MESSAGES = Counter(
    "hearth_messages",
    "SQS messages by what became of them: accepted, duplicate, rejected, dead, settled.",
    ["outcome"],
)
VISIBILITY_EXTENDED = Counter("hearth_visibility_extended", "Leases of SQS messages extended.")
RECEIVES_HELD_BACK = Counter(
    "hearth_receives_held_back",
    "Times that nothing was asked of SQS because BACKLOG_MAX requests were unfinished.",
)

# -- executor --------------------------------------------------------------------------------------

SANDBOX_STARTS = Counter(
    "hearth_sandbox_starts", "Sandboxes started, generic ones too.", ["kind", "runtime"]
)
SANDBOX_STOPS = Counter("hearth_sandbox_stops", "Sandboxes destroyed, by reason.", ["reason"])
SANDBOXES = Gauge(
    "hearth_sandboxes",
    "Sandboxes by state: busy (starting too), idle, generic.",
    ["state", "runtime"],
    multiprocess_mode="livesum",
)
SANDBOXES_MAX = Gauge(
    "hearth_sandboxes_max",
    "Sandboxes of functions that the executors may have.",
    multiprocess_mode="livesum",
)
SANDBOX_MEMORY = Gauge(
    "hearth_sandbox_memory_reserved_bytes",
    "Memory that sandboxes may take, by owner: function, generic.",
    ["owner"],
    multiprocess_mode="livesum",
)
SANDBOX_MEMORY_BUDGET = Gauge(
    "hearth_sandbox_memory_budget_bytes",
    "Memory that all sandboxes of the executors may take together.",
    multiprocess_mode="livesum",
)
INVOCATIONS_WAITING = Gauge(
    "hearth_invocations_waiting",
    "Invocations in an executor's hands that wait for a sandbox to become free.",
    multiprocess_mode="livesum",
)
SANDBOX_WAIT = Counter(
    "hearth_sandbox_wait_seconds", "Time that invocations waited for a sandbox to become free."
)
HAND_OVERS = Counter(
    "hearth_hand_overs",
    "Cold starts offered to another executor: given, kept, unanswered.",
    ["outcome"],
)
SANDBOX_API_CALLS = Counter("hearth_sandbox_api_calls", "Calls to the Docker API.")
CODE_FETCHES = Counter(
    "hearth_code_fetches",
    "Looks at S3 for code: downloaded, unchanged, refused, stale (used though S3 was away).",
    ["outcome"],
)
CODE_LOOKUPS = Counter(
    "hearth_code_cache_lookups",
    "Code wanted for a new sandbox: hit (unpacked here, and fresh) or miss.",
    ["outcome"],
)
CODE_EVICTIONS = Counter("hearth_code_cache_evictions", "Unpacked archives removed for room.")
CODE_BYTES = Gauge(
    "hearth_code_cache_bytes",
    "Unpacked archives on this host's disk.",
    multiprocess_mode="mostrecent",  # the executors of one host share them
)
STREAMED = Counter(
    "hearth_streamed_bytes", "Bytes of inputs and output files: in, out.", ["direction"]
)
UPLOADS = Counter(
    "hearth_uploads", "Objects that executors wrote: output, log, file, listing.", ["kind"]
)

# -- tuner, replay, publisher, traces --------------------------------------------------------------

FINDINGS = Counter("hearth_findings", "What the tuner noticed in invocations.", ["kind"])
LIMIT_CHANGES = Counter(
    "hearth_limit_changes", "Limits that the tuner set: advice, safety, roll_back.", ["action"]
)
SAVINGS = Gauge(
    "hearth_savings_usd_per_month",
    "Savings that the current advice promises, all functions seen since the tuner took the lead.",
    multiprocess_mode="livesum",
)
REPLAYS = Counter(
    "hearth_replays", "Scheduled replays: refreshed, skipped (another runs), failed.", ["outcome"]
)
REPLAYED = Gauge(
    "hearth_replay_last_success_timestamp_seconds",
    "When the cost models were refreshed last.",
    multiprocess_mode="max",
)
PUBLISHED = Counter("hearth_published", "Result documents in S3, by status.", ["status"])
DOCUMENT_BYTES = Counter("hearth_document_bytes", "Bytes of the result documents in S3.")
DOCUMENTS_UNWRITTEN = Gauge(
    "hearth_documents_unwritten",
    "Results that are announced and not in S3 yet.",
    multiprocess_mode="livesum",
)
TRACES = Counter(
    "hearth_traces", "Traces of invocations: exported, failed (the receiver refused).", ["outcome"]
)


def begin(process: str) -> None:
    """Show 0 for what a process may count: of a series that begins at 1 no rise is seen."""
    STARTED.labels(process).set_to_current_time()
    if process == "replay":
        for outcome in ("refreshed", "skipped", "failed"):
            REPLAYS.labels(outcome)
    elif process == "traces":
        for outcome in ("exported", "failed"):
            TRACES.labels(outcome)
    elif process in {"ingest", "executor", "profiler", "tuner", "publisher"}:
        for counter in (HANDLED, CLAIMED, DEAD_LETTERED):
            counter.labels(process)
        for outcome in ("committed", "fenced"):
            COMMITS.labels(process, outcome)
        _BEGINNINGS.get(process, lambda: None)()


def _begin_executor() -> None:
    for outcome in ("hit", "miss"):
        CODE_LOOKUPS.labels(outcome)
    for direction in ("in", "out"):
        STREAMED.labels(direction)
    for kind in ("output", "log", "file", "listing"):
        UPLOADS.labels(kind)


def _begin_tuner() -> None:
    for action in ("advice", "safety", "roll_back"):
        LIMIT_CHANGES.labels(action)


_BEGINNINGS = {"executor": _begin_executor, "tuner": _begin_tuner}


# Looking a label up costs more than counting, so the path of an invocation does it once a value.


@cache
def jobs_processed(runtime: str, outcome: str, start: str) -> Counter:
    """The counter of one runtime, outcome and start."""
    return JOBS_PROCESSED.labels(runtime, outcome, start)


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


@cache
def aws_call_duration(stage: str, service: str, operation: str, outcome: str) -> Histogram:
    """The histogram of one stage's operation and outcome."""
    return AWS_CALL_DURATION.labels(stage, service, operation, outcome)
