"""The errors of the Redis client that pass, as the one error that stages wait on.

Not here: waiting (`backoff`), what is called (`log`, `tail`).
"""

import re
from functools import wraps
from typing import Any

import redis

from shared.inbox import LogUnavailableError

UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.ReadOnlyError,
    redis.BusyLoadingError,
    redis.OutOfMemoryError,
    redis.exceptions.RedisClusterException,  # no node of it answers
    redis.exceptions.ClusterError,  # it does not cover all slots, or a slot is on its way
    redis.exceptions.MovedError,
    redis.exceptions.TryAgainError,
    redis.exceptions.ExecAbortError,  # one of its commands was refused for such a reason
)
# States without a class of their own; redis-py puts words of its own before that of Redis. MISCONF:
# the disk of the append-only file is full.
_PASSING = re.compile(r"\b(MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|UNKILLABLE)\b")


def waiting_for_redis(call: Any) -> Any:  # noqa: ANN401
    """Turn the client's errors into the one that stages wait on."""

    @wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return call(*args, **kwargs)
        except UNAVAILABLE as error:
            raise LogUnavailableError(f"Redis does not answer: {error}") from error
        except redis.ResponseError as error:
            if not _PASSING.search(str(error)):
                raise
            raise LogUnavailableError(f"Redis takes nothing now: {error}") from error

    return guarded
