"""What each process may do at Redis: one user for each, with the least that it needs. Pure.

Made from the table of streams; `deploy/redis-users.acl` is its printed form. Selectors (Redis 7)
keep what a stage may do with its input apart from what it may do with its output: a script needs
all its keys, but each command in it is judged by itself.
"""

from dataclasses import dataclass

from shared.topology import (
    DEAD,
    EXECUTIONS,
    EXECUTORS_CHANNEL,
    MODELS,
    PROFILES,
    PUBLICATIONS,
    RECOMMENDATIONS,
    REQUESTS,
    STREAMS,
    Stream,
)

_ANY = "{hearth:*}"
# CLIENT SETINFO, which redis-py sends too, is unknown to Redis 7.0; its refusal changes nothing.
_CONNECT = ("auth", "hello", "select", "ping", "client|setname", "script|load",
            "command", "cluster|slots", "cluster|shards", "cluster|myid", "readonly")  # fmt: skip
_CONSUME = ("xgroup|create", "xgroup|setid", "xgroup|delconsumer", "xreadgroup", "xack", "xclaim",
            "xautoclaim", "xpending", "xrange", "xinfo|stream", "xinfo|groups")  # fmt: skip
_READ = ("xrange", "xrevrange", "xlen", "exists", "xpending", "xinfo|stream", "xinfo|groups")
_SCRIPT = ("eval", "evalsha")


@dataclass(frozen=True, slots=True)
class Grant:
    """Commands on keys, by pattern. A command that takes several keys needs all in one grant."""

    commands: tuple[str, ...]
    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()


def _keys(*streams: Stream) -> tuple[str, ...]:
    return tuple(f"{_ANY}:{stream.name}" for stream in streams)


def _stage(name: str) -> tuple[Grant, ...]:
    """Receive and commit: what the inbox of every stage does."""
    inputs = _keys(*(one for one in STREAMS if one.group == name and one is not MODELS))
    outputs = _keys(*(one for one in STREAMS if one.writer == name), DEAD)
    return (
        Grant(_CONSUME, inputs),
        Grant(("xadd",), outputs),
        Grant(_SCRIPT, tuple(dict.fromkeys((*inputs, *outputs)))),
    )


def _lead(name: str) -> Grant:
    keys = (f"{_ANY}:active:{name}", f"{_ANY}:standby:{name}")
    return Grant((*_SCRIPT, "get", "set", "pttl", "del"), keys)


_ACCEPTED = f"{_ANY}:accepted:*"
_OFFERS = f"{_ANY}:offer:*"
_LIMITS = f"{_ANY}:limits"
_REQUEUED = f"{_ANY}:requeued"
_ARCHIVE = f"{_ANY}:archive"
# Put back once, and deleted where they are settled: the only entries that anybody deletes.
_PUT_BACK = (
    Grant((*_SCRIPT, "hget", "hset", "persist"), (_REQUEUED, _ACCEPTED, *_keys(*STREAMS))),
    Grant((*_SCRIPT, "hgetall"), (_REQUEUED,)),
)
_PURGE = Grant((*_SCRIPT, "hdel", "xdel", "xpending"), (_REQUEUED, *_keys(DEAD)))
_MEMORY = Grant(("info",), ())  # how full Redis is
_WHOLE_LOG = Grant(("hget",), (_ARCHIVE,))  # where the archive ends and live entries begin

USERS: dict[str, tuple[Grant, ...]] = {
    "ingest": (
        *_stage("ingest"),
        Grant(("hget", "hset", "hgetall", "del", "expire", "multi", "exec"), (_ACCEPTED,)),
        Grant((*_SCRIPT, "exists"), (_ACCEPTED, *_keys(REQUESTS, DEAD))),
        # How much is unfinished; and whose leases a dead ingest left.
        Grant(
            ("exists", "xlen", "xinfo|groups", "xpending", "xrange"),
            _keys(REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS),
        ),
        Grant(("hget",), (_LIMITS,)),
        _MEMORY,
    ),
    "executor": (
        *_stage("executor"),
        Grant((*_SCRIPT, "set", "get", "del"), (_OFFERS,)),
        Grant(_SCRIPT, (_OFFERS, *_keys(REQUESTS))),
        Grant(("publish", "subscribe", "unsubscribe"), (), (EXECUTORS_CHANNEL,)),
    ),
    "profiler": _stage("profiler"),
    "tuner": (
        *_stage("tuner"),
        _lead("tuner"),
        Grant(_READ, _keys(PROFILES, MODELS)),
        _WHOLE_LOG,
    ),
    "publisher": (
        *_stage("publisher"),
        Grant((*_SCRIPT, "set"), ("job:*",)),
        Grant((*_SCRIPT, "hget", "hset"), (_LIMITS,)),
        Grant(("publish",), (), ("*",)),  # a message may name any channel in replyTo
        _MEMORY,
    ),
    "replay": (
        _lead("replay"),
        Grant(_READ, _keys(PROFILES, MODELS)),
        Grant(("xadd",), _keys(MODELS)),
        _WHOLE_LOG,
    ),
    # The only user that may remove entries.
    "archive": (
        _lead("archive"),
        _MEMORY,
        Grant((*_READ, "xtrim"), _keys(*STREAMS)),
        Grant(("hget", "hmget", "hset", "hsetnx", "hincrby", "hdel"), (_ARCHIVE,)),
        Grant(_SCRIPT, (_ARCHIVE, *_keys(*STREAMS))),
    ),
    # People: what `hearth` does besides running processes. It does without CONFIG GET.
    "operator": (
        Grant((*_READ, "xread"), _keys(*STREAMS)),
        Grant(("xadd",), _keys(*STREAMS)),
        Grant(("info", "time", "client|list"), ()),
        Grant(("get", "exists"), ("job:*", _ACCEPTED)),
        Grant(("subscribe", "psubscribe", "unsubscribe", "punsubscribe"), (), ("result:*",)),
        *_PUT_BACK,
        _PURGE,
        _lead("replay"),
        _WHOLE_LOG,
    ),
    "metrics": (Grant((*_READ, "xinfo|consumers"), _keys(*STREAMS)), Grant(("info",), ())),
    "traces": (Grant((*_READ, "xread"), _keys(*STREAMS)),),
    "console": (
        *_PUT_BACK,
        Grant((*_READ, "xread", "xinfo|consumers", "xadd"), _keys(*STREAMS)),  # it puts back
        Grant(("get", "mget"), ("job:*",)),
        Grant(("info",), ()),
    ),
    # Whoever sends messages and waits for results.
    "client": (
        Grant(("get", "mget", "exists"), ("job:*",)),
        Grant(("subscribe", "psubscribe", "unsubscribe", "punsubscribe"), (), ("result:*",)),
    ),
}


def write_user(name: str, password: str) -> str:
    """The line of an ACL file that makes the user."""
    words = ["user", name, "on", f">{password}", "resetchannels", "-@all"]
    words += [f"+{command}" for command in _CONNECT]
    for grant in USERS[name]:
        rules = [*(f"+{command}" for command in grant.commands), *(f"~{key}" for key in grant.keys),
                 *(f"&{channel}" for channel in grant.channels)]  # fmt: skip
        words.append(f"({' '.join(rules)})")
    return " ".join(words)
