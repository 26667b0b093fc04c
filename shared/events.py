"""The events: immutable facts in past tense, each written by one stage.

Not here: how they are stored (`codec`), where they flow (`topology`), what is decided from them.
Sizes are bytes, times are integer microseconds (`_us`) or milliseconds (`_ms`), money is US
dollars.
A new field needs a default; a changed meaning needs a new tag and an upcast in `codec`.
"""

from enum import StrEnum
from hashlib import blake2b

from msgspec import Raw, Struct, field

NO_OUTPUT = Raw(b"null")


def _null() -> Raw:
    """A factory, since a Raw default has no place in a JSON Schema."""
    return NO_OUTPUT


class Outcome(StrEnum):
    """How an invocation ended. A failed function is a successful event."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"
    REJECTED = "rejected"


class Runtime(StrEnum):
    """Language environment inside the sandbox."""

    PYTHON = "python"
    NODEJS = "nodejs"
    GO = "go"
    PROVIDED = "provided"


class Start(StrEnum):
    """Whether the sandbox was created for this invocation."""

    COLD = "cold"
    WARM = "warm"
    NONE = "none"  # rejected before any sandbox was asked for


class Network(StrEnum):
    """What a function may reach."""

    NONE = "none"
    EGRESS = "egress"


class Accuracy(StrEnum):
    """How far a memory peak may be trusted (`docs/design.md`, measuring)."""

    EXACT = "exact"  # the kernel's own high-water mark of the cgroup, reached in the invocation
    PROCESS_EXACT = "process_exact"  # the process's own mark, reset before; it had no children
    UPPER_BOUND = "upper_bound"  # the highest of the sandbox's lifetime
    NONE = "none"  # nothing was measured


class Confidence(StrEnum):
    """How firm an advice is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class FindingKind(StrEnum):
    """What the tuner noticed."""

    MEMORY_RISK = "memory_risk"
    RESOURCE_WASTE = "resource_waste"
    IO_BOUND = "io_bound"
    CPU_BOUND = "cpu_bound"
    CPU_THROTTLED = "cpu_throttled"
    INIT_HEAVY = "init_heavy"
    MEMORY_LEAK = "memory_leak"


class Value(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of an event."""


class S3Object(Value, frozen=True):
    """Where something too large for an event lies."""

    bucket: str
    key: str


class Code(Value, frozen=True):
    """The archive of a function."""

    bucket: str
    key: str
    sha256: str | None = None  # hex; where given, the archive must match it


class Failure(Value, frozen=True):
    """Why an invocation has no output, in words for the sender."""

    type: str  # Lambda's spelling where Lambda has one: Runtime.ImportModuleError
    message: str
    stack: tuple[str, ...] = ()


class Answer(Value, frozen=True):
    """What the function gave back."""

    output: Raw = field(default_factory=_null)  # JSON as the function wrote it
    output_s3: S3Object | None = None  # set instead of `output` when it is large
    failure: Failure | None = None
    logs: str = ""
    logs_truncated: bool = False
    logs_s3: S3Object | None = None  # all of the logs, where `logs` is only their beginning
    output_files: tuple[S3Object, ...] = ()
    output_files_s3: S3Object | None = None  # set instead of `output_files` when they are many


class Limits(Value, frozen=True):
    """What the sandbox was granted. No quota: the CPU is not limited."""

    memory_mb: int
    timeout_ms: int
    cpu_quota_us: int | None = None  # CPU time granted in each period
    cpu_period_us: int = 20_000


class Phases(Value, frozen=True):
    """Where the wall-clock time of one invocation went, as the executor saw it."""

    queued_us: int = 0  # from the request's append to a sandbox being free for it
    code_us: int = 0  # archive fetched and unpacked
    sandbox_us: int = 0  # sandbox started until its bootstrap answered
    init_us: int = 0  # the function's module loaded
    run_us: int = 0  # the handler called until its answer was read
    input_us: int = 0  # inputS3 opened, before a sandbox was looked for
    output_us: int = 0  # output files uploaded, after the answer


class Series(Value, frozen=True):
    """Raw text of a few files while a long invocation ran: one text for each moment.

    Moments are in order; where a file could not be read its text is empty.
    """

    at_us: tuple[int, ...]  # since the call
    memory: tuple[str, ...]
    cpu: tuple[str, ...]
    memory_file: str = ""  # of which file the texts are; the short names of `Readings`
    cpu_file: str = ""


class Readings(Value, frozen=True):
    """Raw text of the kernel's files, by short name, before and after one invocation."""

    source: str  # cgroup1 | cgroup2 | process
    accuracy: Accuracy  # what the meter can do; the profiler may know better of one invocation
    before: dict[str, str]
    after: dict[str, str]
    previous: dict[str, str] = {}  # CPU files after the sandbox's previous answer; empty at first
    series: Series | None = None  # of runs longer than 200 ms
    unchanged: tuple[str, ...] = ()  # files that read the same before: their text is in `after`


class Execution(Value, frozen=True):
    """What stays true about one invocation from its end to its publication."""

    function_id: str
    outcome: Outcome
    requested_at_ms: int  # Unix time
    runtime: Runtime | None = None
    start: Start = Start.NONE
    attempt: int = 1  # counts executors that took the invocation
    worker_id: str = ""
    sandbox_id: str = ""
    reply_to: str | None = None
    limits: Limits | None = None
    phases: Phases = Phases()
    answer: Answer = field(default_factory=Answer)
    input_bytes: int = 0  # of the input as JSON, or of `inputS3`; 0: not known
    memory_auto: bool = False  # the function takes the tuner's current limit


class Breakdown(Value, frozen=True):
    """Where the run phase went; the parts add up to it."""

    on_cpu_us: int = 0
    throttled_us: int = 0  # ready to run, but its share of the CPU was used up
    block_io_us: int = 0
    memory_pressure_us: int = 0
    waiting_us: int = 0  # for the network, a timer, a lock
    unattributed_us: int = 0  # what the kernel does not tell
    run_queue_us: int = 0  # ready to run, but others had the host's CPUs


class Profile(Value, frozen=True):
    """What one invocation used."""

    cpu_user_us: int = 0
    cpu_system_us: int = 0
    cpu_utilisation_ratio: float = 0.0  # CPU time over what the granted share allowed in the run
    throttled_us: int = 0
    throttled_periods: int = 0
    memory_peak_bytes: int = 0
    memory_baseline_bytes: int = 0  # in use when the peak was reset
    memory_growth_bytes: int = 0  # in use after minus before
    memory_accuracy: Accuracy = Accuracy.NONE
    page_cache_bytes: int = 0  # of the usage after, what the kernel can drop
    disk_read_bytes: int = 0
    disk_write_bytes: int = 0
    network_rx_bytes: int = 0
    network_tx_bytes: int = 0
    oom_kills: int = 0
    breakdown: Breakdown = Breakdown()
    missing: tuple[str, ...] = ()  # readings that were absent or unreadable
    cpu_after_answer_us: int = 0  # between the sandbox's previous answer and this call
    page_faults: int = 0  # since the sandbox's previous answer; likewise the next
    major_faults: int = 0  # page faults that had to read from a disk
    memory_limit_hits: int = 0  # how often an allocation met the limit
    pids: int = 0  # processes and threads after the run
    cpu_stall_us: int = 0  # pressure: ready to run, and nothing of the sandbox on a CPU
    io_stall_us: int = 0  # pressure: everything of it that was not asleep waited for a disk
    memory_stall_us: int = 0  # pressure: the same for memory


class Finding(Value, frozen=True):
    """One thing the tuner noticed and the figures that show it."""

    kind: FindingKind
    evidence: str


class Advice(Value, frozen=True):
    """What the tuner recommends for a function."""

    memory_mb: int
    memory_mb_min: int
    memory_mb_max: int
    savings_percent: float  # of the compute price an invocation; negative when it costs more
    savings_monthly_usd: float | None  # None until a call rate was observed
    duration_ms: float | None  # predicted for `memory_mb`; None until a success was timed
    confidence: Confidence
    invocation_count: int  # how many the advice rests on
    findings: tuple[Finding, ...] = ()
    tip: str = ""
    evidence_ids: tuple[str, ...] = ()  # event ids behind it, newest last
    duration_ms_min: float | None = None  # of ten calls at `memory_mb`, nine last between these
    duration_ms_max: float | None = None
    savings_monthly_usd_min: float | None = None  # by what is uncertain of rate and duration
    savings_monthly_usd_max: float | None = None
    objective: str = ""  # cost | balanced | speed | latency
    price_book: str = ""


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """The header of every event."""

    event_id: str
    invocation_id: str
    causation_id: str
    occurred_at_ms: int  # Unix time
    schema_version: int = 1


class InvocationRequested(Event, frozen=True, tag=True):
    """A message was accepted; everything in it is valid."""

    function_id: str
    runtime: Runtime
    handler: str
    code: Code
    memory_mb: int
    timeout_ms: int
    input: Raw = field(default_factory=_null)
    input_s3: S3Object | None = None
    env_vars: dict[str, str] = {}
    network: Network = Network.EGRESS
    reuse: bool = True  # false: a sandbox for this invocation alone
    reply_to: str | None = None
    memory_auto: bool = False  # `memory_mb` is the limit that the tuner has set, once there is one
    traceparent: str | None = None  # the sender's span (W3C Trace Context), for `traces` alone


class InvocationRejected(Event, frozen=True, tag=True):
    """A message named a request id, but cannot be run."""

    function_id: str
    field: str
    reason: str
    reply_to: str | None = None


class SandboxStarted(Event, frozen=True, tag=True):
    """A sandbox was created for a function."""

    function_id: str
    sandbox_id: str
    worker_id: str
    kind: str  # docker | bubblewrap
    memory_mb: int
    sandbox_us: int
    init_us: int


class SandboxStopped(Event, frozen=True, tag=True):
    """A sandbox is gone and why."""

    function_id: str
    sandbox_id: str
    worker_id: str
    reason: str
    readings: Readings | None = None  # CPU files from its last answer to its end


class InvocationFinished(Event, frozen=True, tag=True):
    """The function ran, or never will."""

    execution: Execution
    readings: Readings | None = None


class InvocationProfiled(Event, frozen=True, tag=True):
    """The readings were understood."""

    execution: Execution
    profile: Profile


class InvocationTuned(Event, frozen=True, tag=True):
    """The advice for the function was brought up to date with this invocation."""

    execution: Execution
    profile: Profile
    advice: Advice | None = None  # none for what never ran


class MemoryLimitChanged(Event, frozen=True, tag=True):
    """The tuner set the limit of a function that takes what it says; or took that back."""

    function_id: str
    from_mb: int
    to_mb: int
    action: str  # advice | safety | roll_back
    reason: str
    savings_percent: float = 0.0  # predicted, of the compute price; 0 for a roll-back
    duration_ms_max: float | None = None  # a mean above it is taken back; None: not watched


class CostModelRefreshed(Event, frozen=True, tag=True):
    """A function was folded anew from all its history; a tuner goes on from there."""

    function_id: str
    until_entry: str  # of `profiles`: the last entry that is folded in
    invocation_count: int
    state: bytes  # as the tuner saves it


class ResultPublished(Event, frozen=True, tag=True):
    """The result can be read by its sender."""

    function_id: str
    outcome: Outcome
    document: S3Object
    document_bytes: int


class DeadLettered(Event, frozen=True, tag=True):
    """An entry that no stage could take, kept with its bytes."""

    stage: str
    stream: str
    entry_id: str
    attempts: int
    reason: str
    payload: bytes


Anything = (
    InvocationRequested
    | InvocationRejected
    | SandboxStarted
    | SandboxStopped
    | InvocationFinished
    | InvocationProfiled
    | InvocationTuned
    | MemoryLimitChanged
    | CostModelRefreshed
    | ResultPublished
    | DeadLettered
)


def derive_event_id(causation_id: str, tag: str, ordinal: int = 0) -> str:
    """The id of the `ordinal`-th event of type `tag` that `causation_id` caused: 32 hex digits.

    Deterministic, so that a repeated handling is recognisable.
    """
    return blake2b(f"{causation_id}/{tag}/{ordinal}".encode(), digest_size=16).hexdigest()
