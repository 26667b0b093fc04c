"""A full disk under each part that writes: it waits or goes without, and nothing ends."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.process import wait_for_factory
from executor.sandbox import SandboxError, SandboxSpec
from shared.events import Limits, Network, Runtime
from shared.inbox import LogUnavailableError
from shared.log import Log, PublishedResult
from shared.metrics_folder import reserve
from shared.settings import Settings
from shared.topology import REQUESTS
from tests.contract.sandboxes import need_kind
from tests.contract.test_log import make_request
from tests.fixtures_redis import RedisServer
from tests.requirements import need


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of one's own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "hearth-test", os.fspath(folder)]
    done = subprocess.run(mount, check=False, capture_output=True)
    need(done.returncode == 0, "only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is left, for a while."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4_096)
    yield
    ballast.unlink()


def test_an_executor_waits_for_room(disk: Path) -> None:
    """It starts when there is some, instead of ending again and again."""
    need_kind("bubblewrap")
    settings = Settings(state_dir=os.fspath(disk / "state"), sandbox="bubblewrap")
    with ThreadPoolExecutor(1) as threads:
        with filled(disk):
            waiting = threads.submit(wait_for_factory, settings, threading.Event())
            time.sleep(0.5)
            assert not waiting.done()

        factory = waiting.result(20)

    assert isinstance(factory, BubblewrapFactory)
    factory.close()


def test_a_sandbox_without_a_folder_is_the_platforms_failure(disk: Path) -> None:
    """Which is waited for; afterwards there is nothing left of the try."""
    need_kind("bubblewrap")
    factory = BubblewrapFactory(disk / "state")
    spec = SandboxSpec(
        runtime=Runtime.PYTHON, network=Network.NONE, limits=Limits(memory_mb=128, timeout_ms=1_000)
    )
    with filled(disk), pytest.raises(SandboxError, match="No space left"):
        factory.start(spec)

    sandbox = factory.start(spec)

    sandbox.destroy()
    factory.close()


CALLS: list[Callable[[Log], object]] = [
    lambda log: log.accept(make_request("r"), message_id="m", receipt="x"),
    lambda log: log.settle([("r", "f")], ttl_s=60),
    lambda log: log.publish([PublishedResult("r", ("result:r",), b"{}")], ttl_s=60),
    lambda log: log.bury_message("ingest", b"bytes", "no JSON", "m"),
    lambda log: log.append(make_request("r"), partition=0),
    lambda log: log.contend("tuner", 0, "a", 1_000),
]


def test_a_redis_that_cannot_write_is_waited_for(mortal_redis: RedisServer) -> None:
    """Whatever is asked of it: what cannot be kept was not taken, and comes when it can."""
    client: Any = redis.Redis(port=mortal_redis.port)
    client.config_set("save", "1 1")
    with broken_saving(client, mortal_redis.folder):
        log = Log(f"redis://127.0.0.1:{mortal_redis.port}/0")
        for call in CALLS:
            with pytest.raises(LogUnavailableError):
                call(log)
    client.config_set("save", "")  # it would not end without
    client.config_set("stop-writes-on-bgsave-error", "no")

    for call in CALLS:
        call(log)

    assert 2 == client.xlen(f"{{hearth:0}}:{REQUESTS.name}")
    log.close()
    client.close()


@contextmanager
def broken_saving(client: Any, folder: Path) -> Iterator[None]:
    """Redis cannot write a snapshot, and then refuses what it could not keep."""
    (folder / "dump.rdb").unlink(missing_ok=True)
    (folder / "dump.rdb").mkdir()
    (folder / "dump.rdb" / "in the way").touch()
    client.set("changed", 1)
    deadline = time.monotonic() + 20
    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        with suppress(redis.ResponseError):
            client.bgsave()
        assert time.monotonic() < deadline, "it could write"
        time.sleep(0.05)
    yield


def test_metrics_files_take_their_room_at_once(tmp_path: Path) -> None:
    """What is mapped into memory is on the disk; else counting would end the process."""
    assert reserve(tmp_path / "metrics")

    files = list((tmp_path / "metrics").iterdir())
    assert len(files) >= 5
    assert all(file.stat().st_blocks * 512 >= file.stat().st_size > 0 for file in files)


def test_without_room_there_are_no_metrics_files(tmp_path: Path) -> None:
    """The process goes without, and leaves nothing half-made."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        reserved = reserve(tmp_path / "metrics")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not reserved
    assert [] == list((tmp_path / "metrics").iterdir())
