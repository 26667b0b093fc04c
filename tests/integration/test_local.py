"""The embedded default with a real redis-server and a real moto server."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from local.child import LocalError
from local.process import run
from shared.aws import make_client
from shared.settings import Settings, process_environment

ROOT = Path(__file__).parents[2]

# What `hearth run local` does, without the command line around it.
MAIN = """
import logging, signal, threading
from local.process import run
from shared.settings import load_from_process
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
logging.basicConfig(level=logging.INFO)
run(load_from_process(), stop)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an embedded default that nobody else uses."""
    return Settings(
        state_dir=str(tmp_path / "state"),
        local_redis_port=find_free_port(),
        local_aws_port=find_free_port(),
        s3_code_bucket="some-code",
        aws_region="eu-central-1",
        visibility_timeout_s=7,
    )


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def connect(settings: Settings) -> redis.Redis:
    return redis.Redis.from_url(settings.redis_address, socket_timeout=5)


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def answers(settings: Settings) -> bool:
    try:
        with connect(settings) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_processes(settings: Settings) -> list[int]:
    """The processes that know the port of this Redis or of this stand-in."""
    ports = rf"\b({settings.local_redis_port}|{settings.local_aws_port})\b"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may go while it is looked at; a zombie has no command line any more.
        with suppress(FileNotFoundError, ProcessLookupError):
            if re.search(ports, (folder / "cmdline").read_text(errors="replace")):
                found.append(int(folder.name))
    return found


@contextmanager
def local_process(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, so that it can be signalled; killed afterwards."""
    environment = process_environment() | {
        "STATE_DIR": settings.state_dir,
        "LOCAL_REDIS_PORT": str(settings.local_redis_port),
        "LOCAL_AWS_PORT": str(settings.local_aws_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process:
        try:
            wait_for(lambda: answers(settings) and accepts(settings.local_aws_port))
            yield process
        finally:
            process.kill()


@contextmanager
def local_thread(settings: Settings) -> Iterator[None]:
    """`run` in a thread of the test; stopped afterwards."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_starts_redis_and_the_stand_in_with_what_the_stages_need(settings: Settings) -> None:
    """Redis on socket and port with its file on; the queue with its time-out; both buckets."""
    with local_thread(settings):
        wait_for(lambda: has_queue(settings))
        with connect(settings) as client, redis.Redis(port=settings.local_redis_port) as by_port:
            kept = client.config_get("append*") | client.config_get("maxmemory-policy")

            assert by_port.ping()
        url = settings.queue_url
        attributes = make_client(settings, "sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=["VisibilityTimeout"]
        )["Attributes"]
        buckets = [one["Name"] for one in make_client(settings, "s3").list_buckets()["Buckets"]]

    assert kept["appendonly"] == "yes"
    assert kept["appendfsync"] == "no"  # `local` does it, see `synchronise`
    assert kept["maxmemory-policy"] == "noeviction"
    assert attributes == {"VisibilityTimeout": "7"}
    assert sorted(buckets) == ["hearth-output", "some-code"]
    assert find_processes(settings) == []


def has_queue(settings: Settings) -> bool:
    if not accepts(settings.local_aws_port):
        return False
    return "QueueUrls" in make_client(settings, "sqs").list_queues()


def test_steps_aside_where_both_are_named(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, starts nothing and waits for the end."""
    caplog.set_level("INFO")
    named = Settings(
        redis_url="redis://elsewhere",
        aws_endpoint_url="http://elsewhere",
        state_dir=settings.state_dir,
        local_redis_port=settings.local_redis_port,
        local_aws_port=settings.local_aws_port,
    )
    with local_thread(named):
        time.sleep(0.3)

        assert not accepts(settings.local_redis_port)
        assert not accepts(settings.local_aws_port)
    assert caplog.text.count("local.stepped_aside") == 2


def test_a_redis_killed_under_load_comes_back_with_everything(settings: Settings) -> None:
    """What was acknowledged before the SIGKILL is there afterwards, also what came just before."""
    with local_thread(settings):
        wait_for(lambda: answers(settings))
        for round_number in range(3):
            acknowledged, killed = write_until_killed(settings, f"log-{round_number}")
            wait_for(lambda: answers(settings))
            with connect(settings) as client:
                found = {entry for entry, _ in client.xrange(f"log-{round_number}")}
                assert acknowledged <= found
                assert client.info("server")["process_id"] != killed


def write_until_killed(settings: Settings, stream: str) -> tuple[set[bytes], int]:
    """The entries that Redis acknowledged before it was killed, and its process id."""
    acknowledged: set[bytes] = set()
    client = redis.Redis.from_url(settings.redis_address, retry=None)
    killed = int(client.info("server")["process_id"])
    killer = threading.Timer(1.2, os.kill, (killed, signal.SIGKILL))  # while it synchronises
    killer.start()
    with client, suppress(redis.ConnectionError):
        while True:
            pipeline = client.pipeline(transaction=False)
            for _ in range(20):
                pipeline.xadd(stream, {"payload": b"x" * 4_000})
            acknowledged.update(pipeline.execute())
    killer.join()
    return acknowledged, killed


def test_a_redis_killed_while_it_starts_takes_nothing_along(settings: Settings) -> None:
    """It is started again, and the stand-in for AWS still holds its messages."""
    with local_thread(settings):
        wait_for(lambda: has_queue(settings))
        make_client(settings, "sqs").send_message(QueueUrl=settings.queue_url, MessageBody="kept")
        for _ in range(4):
            wait_for(lambda: find_redis(settings) != [])
            with suppress(IndexError, ProcessLookupError):
                os.kill(find_redis(settings)[0], signal.SIGKILL)

        wait_for(lambda: answers(settings))
        received = make_client(settings, "sqs").receive_message(QueueUrl=settings.queue_url)
        assert ["kept"] == [one["Body"] for one in received["Messages"]]


def find_redis(settings: Settings) -> list[int]:
    """The redis-server, from before it answers."""
    found = []
    for one in find_processes(settings):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"redis-server" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(one)
    return found


def test_sigterm_ends_everything(settings: Settings) -> None:
    """The process ends cleanly and takes its servers along."""
    with local_process(settings) as process:
        assert len(find_processes(settings)) >= 2
        process.terminate()

        assert process.wait(10) == 0
        assert find_processes(settings) == []


def test_sigkill_leaves_nothing_and_the_next_one_goes_on(settings: Settings) -> None:
    """The kernel ends the servers; a start at once afterwards finds folder and ports free."""
    with local_process(settings) as process:
        with connect(settings) as client:
            client.set("kept", "yes")
        process.kill()
        process.wait()
        with local_process(settings), connect(settings) as client:
            assert client.get("kept") == b"yes"
    wait_for(lambda: find_processes(settings) == [], 10)


def test_redis_outlives_its_last_client(settings: Settings) -> None:
    """Stages that were told to stop at the same moment can still hand back."""
    with local_process(settings) as process:
        with connect(settings) as client:
            client.ping()
            process.terminate()
            time.sleep(0.5)

            assert client.set("handed", "back")
        assert process.wait(5) == 0


@pytest.mark.parametrize("which", ["local_redis_port", "local_aws_port"])
def test_a_taken_port_names_the_setting(settings: Settings, which: str) -> None:
    """The error says which setting to change."""
    with (
        socket.create_server(("127.0.0.1", getattr(settings, which))),
        pytest.raises(LocalError, match=f"set {which.upper()} to a free one"),
    ):
        run(settings, threading.Event())
    assert find_processes(settings) == []


def test_a_missing_redis_server_names_the_next_step(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error says what to type."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(LocalError, match="make setup"):
        run(settings, threading.Event())
