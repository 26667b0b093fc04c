"""A client of the log's Redis, one server or a cluster, and the scripts by name. Safe for threads.

Not here: what is asked of it (`log`, `offers`), nor the pipelined connections of inboxes (`wire`).
"""

import threading
from collections.abc import Sequence
from typing import Any

import redis

from shared.address import is_cluster, name_node, read_seeds
from shared.redis_errors import UNAVAILABLE, waiting_for_redis
from shared.scripts import TEXTS


class Connection:
    """Every call raises LogUnavailableError without Redis. Nothing is called before the first."""

    def __init__(self, url: str, partitions: int = 1) -> None:
        self._url = url
        self._partitions = partitions
        self._lock = threading.Lock()
        self._client: Any = None
        self._scripts: dict[str, Any] = {}

    @property
    def _redis(self) -> Any:  # noqa: ANN401
        """The client. A cluster's asks for the layout when it is made: not before it is needed."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    client = _make_client(self._url)
                    self._scripts = {
                        name: client.register_script(text) for name, text in TEXTS.items()
                    }
                    self._client = client
        return self._client

    def _run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:  # noqa: ANN401
        client = self._redis
        return self._scripts[script](keys=keys, args=args, client=client)

    @waiting_for_redis
    def ping(self) -> None:
        """Raise unless Redis answers."""
        self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()


def _make_client(url: str) -> Any:  # noqa: ANN401
    options = {"protocol": 2, "socket_connect_timeout": 5, "socket_timeout": 10}
    if not is_cluster(url):
        return redis.Redis.from_url(url, **options)
    problem: Exception | None = None
    for seed in read_seeds(url):
        try:
            return redis.RedisCluster.from_url(name_node(url, seed), **options)
        except (*UNAVAILABLE, OSError) as error:
            problem = error
    raise redis.ConnectionError(f"no node of the cluster answers: {problem}")
