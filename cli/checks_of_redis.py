"""What `hearth doctor` says of Redis and of the stages that are connected to it.

Not here: reading it (`shared/redis_facts`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from cli.check import Check, fail, ok, warn
from shared.inbox import LogUnavailableError
from shared.redis_facts import GroupFacts, RedisFacts, ServerFacts
from shared.settings import Settings
from shared.topology import MODELS, STREAMS

_VERSION_MIN = (7, 0)  # lag of groups, EXPIRE options, functions of streams that are used
_STAGES = ("ingest", "executor", "profiler", "tuner", "publisher")
_SKEW_MS_MAX = 500
_LAG_MAX = 1_000


def check_redis(settings: Settings) -> Iterator[Check]:
    """The server, its clock, the stages and how far they are."""
    facts = RedisFacts(settings.redis_address, settings.partitions)
    try:
        server = facts.read_server()
        yield from judge_server(server)
        names = facts.list_consumers()
        if names is None:
            mend = "give this account the right to CLIENT LIST, or look at /healthz of each host"
            yield warn("stages", "may not be seen by this account of Redis", mend)
            return
        counts = Counter(name.partition("-")[0] for name in names)
        for stage in _STAGES:
            streams = [stream for stream in STREAMS if stream.group == stage]
            groups = {one.name: facts.read_group(one) for one in streams if one is not MODELS}
            yield judge_stage(stage, counts[stage], groups, settings.claim_idle_ms)
    except LogUnavailableError as error:
        cure = "start it, and check REDIS_URL in .env"
        if settings.embedded_aws:
            cure = "start the stack (`honcho start`), or name a Redis in REDIS_URL"
        yield fail("Redis", str(error).rstrip("."), cure)
    finally:
        facts.close()


def judge_server(server: ServerFacts) -> Iterator[Check]:
    """Version, what it keeps, what it throws away, its clock."""
    said = f"{server.version}, answers in {server.round_trip_ms:.1f} ms"
    parts = tuple(int(part) for part in server.version.split(".")[:2] if part.isdigit())
    if parts < _VERSION_MIN:
        yield fail("Redis", said, "install Redis 7.0 or newer")
    else:
        yield ok("Redis", said)
    yield judge_persistence(server)
    if server.memory_policy in ("", "noeviction"):
        yield ok("Redis memory", describe_memory(server))
    else:
        mend = "set maxmemory-policy noeviction: any other drops results and marks"
        yield fail("Redis memory", f"policy {server.memory_policy}", mend)
    ahead = server.clock_ahead_ms
    said = f"{abs(ahead):.0f} ms {'behind' if ahead > 0 else 'ahead of'} Redis's"
    if abs(ahead) <= _SKEW_MS_MAX + server.round_trip_ms:
        yield ok("clock", f"this machine's is {said}")
    else:
        yield warn("clock", f"this machine's is {said}", "start an NTP client on both (chrony)")


def judge_persistence(server: ServerFacts) -> Check:
    """Whether what Redis acknowledged survives it."""
    if not server.is_append_only:
        mend = "set appendonly yes: without it a restart loses accepted requests and all history"
        return fail("Redis file", "no append-only file", mend)
    if server.fsync == "everysec":
        mend = "set appendfsync always: a crash under load can lose what was acknowledged"
        return warn("Redis file", "append-only, appendfsync everysec", mend)
    return ok("Redis file", f"append-only, appendfsync {server.fsync or 'not told'}")


def describe_memory(server: ServerFacts) -> str:
    """What it takes of what it may."""
    used = f"{server.memory_used_bytes / (1 << 20):.0f} MB used"
    if not server.memory_max_bytes:
        return f"{used}, no maxmemory, nothing is evicted"
    return f"{used} of {server.memory_max_bytes / (1 << 20):.0f}, nothing is evicted"


def judge_stage(
    stage: str, connected: int, groups: Mapping[str, GroupFacts], claim_idle_ms: int
) -> Check:
    """Whether it is there (stages name their connections), and how far it is with its streams."""
    subject = f"stage {stage}"
    said = "; ".join(
        [
            f"{connected} connected",
            *(f"{name}: {one.lag:,} waiting, {one.pending:,} in hand"
              for name, one in groups.items()),
        ]
    )  # fmt: skip
    if not connected:
        mend = f"start the stack (`honcho start`), or one more: `hearth run {stage}`"
        return fail(subject, said, mend)
    oldest_ms = max(one.oldest_ms for one in groups.values())
    if oldest_ms > 4 * claim_idle_ms:
        mend = "nobody refreshes or takes it over: look at the log of that stage, restart it"
        return warn(subject, f"{said}, one for {oldest_ms // 1_000} s", mend)
    if max(one.lag for one in groups.values()) > _LAG_MAX:
        return warn(
            subject, said, "start more of them, if that does not go down (docs/operations.md)"
        )
    return ok(subject, said)
