"""A real moto server over HTTP for the tests: SQS and S3 without AWS."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from shared.aws import make_client
from shared.settings import Settings
from tests.requirements import need


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the moto server did not answer within 30 s")


@pytest.fixture(scope="session")
def aws_port() -> Iterator[int]:
    """The port of a moto server that lives as long as the tests."""
    need(find_spec("moto") is not None, "moto is missing: make setup")
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_answers(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def aws_settings(aws_port: int, tmp_path: Path) -> Settings:
    """Settings that name the moto server the way the embedded default does."""
    return Settings(local_aws_port=aws_port, state_dir=str(tmp_path / "state"))


@pytest.fixture
def s3(aws_settings: Settings) -> Iterator[Any]:
    """An S3 client."""
    client = make_client(aws_settings, "s3")
    yield client
    client.close()


@pytest.fixture
def sqs(aws_settings: Settings) -> Iterator[Any]:
    """An SQS client."""
    client = make_client(aws_settings, "sqs")
    yield client
    client.close()


@pytest.fixture
def queue_url(sqs: Any) -> str:
    """A queue of one test."""
    return str(sqs.create_queue(QueueName=f"test-{uuid.uuid4().hex}")["QueueUrl"])


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket of one test."""
    name = f"test-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name
