"""The streams, who writes and who reads each: one screen shows the system."""

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Stream:
    """An append-only list of events and the stages on both of its ends."""

    name: str
    writer: str
    events: tuple[str, ...]
    group: str  # the stage that must handle every entry


REQUESTS = Stream("requests", "ingest", ("InvocationRequested", "InvocationRejected"), "executor")
EXECUTIONS = Stream(
    "executions",
    "executor",
    ("InvocationFinished", "SandboxStarted", "SandboxStopped"),
    "profiler",
)
PROFILES = Stream("profiles", "profiler", ("InvocationProfiled",), "tuner")
RECOMMENDATIONS = Stream(
    "recommendations", "tuner", ("InvocationTuned", "MemoryLimitChanged"), "publisher"
)
# Not consumed in a group: a tuner reads the latest of each function when it takes over.
MODELS = Stream("models", "replay", ("CostModelRefreshed",), "tuner")
PUBLICATIONS = Stream("publications", "publisher", ("ResultPublished",), "ingest")
# For people to look at; ingest handles it to settle the SQS message of what was buried.
DEAD = Stream("dead", "any", ("DeadLettered",), "ingest")

STREAMS = (REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, MODELS, PUBLICATIONS, DEAD)

EXECUTORS_CHANNEL = "hearth:executors"  # what executors tell one another

# Every key of the log, by pattern; `docs/operations.md` explains each, a test compares.
KEY_PATTERNS = (
    *(f"{{hearth:P}}:{stream.name}" for stream in STREAMS),
    "{hearth:P}:accepted:REQUEST_ID",
    "{hearth:P}:active:STAGE",
    "{hearth:P}:standby:STAGE",
    "{hearth:P}:limits",
    "{hearth:P}:offer:ENTRY",
    "job:REQUEST_ID",
)


def partition_of(function_id: str, partitions: int) -> int:
    """The partition that holds all events of a function, in order."""
    return crc32(function_id.encode()) % partitions


def key(stream: Stream, partition: int) -> str:
    """The Redis key of a stream; the braces keep one partition in one cluster slot."""
    return f"{{hearth:{partition}}}:{stream.name}"


def accepted_key(request_id: str, partition: int) -> str:
    """A request that was accepted: its SQS messages until they are settled, then a mark."""
    return f"{{hearth:{partition}}}:accepted:{request_id}"


def active_key(stage: str, partition: int) -> str:
    """Names the one consumer that may fold the partition's state."""
    return f"{{hearth:{partition}}}:active:{stage}"


def standby_key(stage: str, partition: int) -> str:
    """Tells the leader that somebody with fewer partitions would take this one."""
    return f"{{hearth:{partition}}}:standby:{stage}"


def offer_key(entry_id: str, partition: int) -> str:
    """An entry that its owner would leave to another executor, for a moment."""
    return f"{{hearth:{partition}}}:offer:{entry_id}"


def limits_key(partition: int) -> str:
    """The memory limits that the tuner has set, by function."""
    return f"{{hearth:{partition}}}:limits"


def job_key(request_id: str) -> str:
    """The published result document, for a while."""
    return f"job:{request_id}"


def result_channel(request_id: str) -> str:
    """Where the result document is published."""
    return f"result:{request_id}"


_STREAM_BY_EVENT = {event: stream for stream in STREAMS for event in stream.events}


def stream_of(event_type: str) -> Stream:
    """The one stream that events of a type are appended to."""
    return _STREAM_BY_EVENT[event_type]
