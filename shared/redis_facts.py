"""What a Redis tells of itself and of the stages that are connected to it.

Not here: whether that is well (`cli/checks`).
"""

import time
from typing import NamedTuple

import redis

from shared.log import Log
from shared.redis_errors import waiting_for_redis
from shared.topology import Stream, key


class ServerFacts(NamedTuple):
    """Of the server. Empty or None: it does not say."""

    version: str
    is_append_only: bool
    fsync: str  # always | everysec | no
    memory_policy: str
    memory_used_bytes: int
    memory_max_bytes: int  # 0: no bound
    clock_ahead_ms: float  # its clock against this machine's
    round_trip_ms: float


class GroupFacts(NamedTuple):
    """Of one stage's part in one stream, all partitions together."""

    lag: int  # entries that nobody has received
    pending: int  # received, not acknowledged
    oldest_ms: int  # how long the longest pending one is held; 0 without any


class RedisFacts(Log):
    """The log, as a doctor sees it. Every call raises LogUnavailableError without Redis."""

    @waiting_for_redis
    def read_server(self) -> ServerFacts:
        """One look at the server."""
        server = self._redis.info()
        before = time.time()
        seconds, microseconds = self._redis.time()
        after = time.time()
        ahead_s = seconds + microseconds / 1e6 - (before + after) / 2
        return ServerFacts(
            version=str(server.get("redis_version", "")),
            is_append_only=bool(server.get("aof_enabled", 0)),
            fsync=self._read_fsync(),
            memory_policy=str(server.get("maxmemory_policy", "")),
            memory_used_bytes=int(server.get("used_memory", 0)),
            memory_max_bytes=int(server.get("maxmemory", 0)),
            clock_ahead_ms=ahead_s * 1_000,
            round_trip_ms=(after - before) * 1_000,
        )

    def _read_fsync(self) -> str:
        try:
            return str(self._redis.config_get("appendfsync").get("appendfsync", ""))
        except redis.ResponseError:  # hosted ones forbid CONFIG
            return ""

    @waiting_for_redis
    def list_consumers(self) -> list[str] | None:
        """The names that stages gave their connections: stage, host, process id, digits.

        None where this account may not list connections.
        """
        try:
            names = {client.get("name", "") for client in self._redis.client_list()}
        except redis.ResponseError:
            return None
        return sorted(name for name in names if name)

    @waiting_for_redis
    def read_group(self, stream: Stream) -> GroupFacts:
        """How far the stage is that must handle the stream."""
        lag = pending = oldest_ms = 0
        for partition in range(self._partitions):
            name = key(stream, partition)
            if not self._redis.exists(name):
                continue
            groups = {one["name"].decode(): one for one in self._redis.xinfo_groups(name)}
            group = groups.get(stream.group)
            if group is None:
                lag += self._redis.xlen(name)
                continue
            lag += group["lag"] or 0
            pending += group["pending"]
            if group["pending"]:
                first = self._redis.xpending_range(name, stream.group, "-", "+", 100)
                oldest_ms = max([oldest_ms, *(one["time_since_delivered"] for one in first)])
        return GroupFacts(lag, pending, oldest_ms)
