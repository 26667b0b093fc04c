"""Many invocations with little memory: the short run of `python -m bench.bounded`."""

from pathlib import Path
from typing import Any

import pytest
import redis

from bench.bounded import drive
from shared.settings import Settings
from tests.fixtures_redis import RedisServer

COUNT = 8_000
BOUND_BYTES = 16 << 20


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_invocations_with_little_memory(mortal_redis: RedisServer, tmp_path: Path) -> None:
    """Redis stays within its bound though several times as much goes through it.

    Archive and live entries hold every event of every stream once, and recommendations that are
    made again out of them are the same, byte for byte.
    """
    client: Any = redis.Redis.from_url(mortal_redis.url)
    client.config_set("maxmemory", BOUND_BYTES)
    settings = Settings(
        redis_url=mortal_redis.url, result_ttl_s=60, accepted_ttl_s=60, log_keep_seconds=0,
        backlog_max=512,
    )  # fmt: skip
    figures = drive(settings, tmp_path / "archive", COUNT)
    print(figures)

    assert figures.redis_bytes_max <= figures.bound_bytes == BOUND_BYTES
    assert figures.once
    assert figures.identical
    assert 5 * COUNT > figures.live  # most of it is in the archive alone
    assert 0 == client.xlen("{hearth:0}:dead")
