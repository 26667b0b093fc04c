"""A real redis-server for the tests, with the append-only file on, as in production."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from tests.requirements import need


class RedisServer:
    """A redis-server that can be killed and started again on its data."""

    def __init__(self, folder: Path, also: Sequence[str] = ()) -> None:
        """`also`: more addresses than the loopback, for whoever can reach them."""
        self.folder = folder
        self.addresses = ["127.0.0.1", *also]
        self.path = folder / "redis.sock"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, over the Unix socket."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            [
                "redis-server", "--port", str(self.port), "--bind", *self.addresses,
                "--protected-mode", "no",
                "--unixsocket", os.fspath(self.path), "--dir", os.fspath(self.folder),
                "--appendonly", "yes", "--appendfsync", "no", "--save", "",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                redis.Redis.from_url(self.url).ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server did not answer within 10 s")

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)


@pytest.fixture(scope="session")
def redis_server_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do not kill it."""
    need(shutil.which("redis-server") is not None, "redis-server is missing: make setup")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(redis_server_shared: RedisServer) -> RedisServer:
    """The shared server, emptied."""
    redis.Redis.from_url(redis_server_shared.url).flushall()
    return redis_server_shared


@pytest.fixture
def mortal_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of one test, which may kill it."""
    need(shutil.which("redis-server") is not None, "redis-server is missing: make setup")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
