"""The embedded stand-in for AWS: the moto server, its queue and its buckets.

It keeps everything in memory: what is in the queue and the buckets ends with it.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local.child import Child
from shared.aws import make_client
from shared.settings import LOCAL_QUEUE, Settings, process_environment

_ANSWER_SECONDS = 1.0
_PROGRAM = Path(__file__).with_name("aws_child.py")


@contextmanager
def aws_server(settings: Settings) -> Iterator[Child]:
    """The server; ended afterwards."""
    folder = Path(settings.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    address = ("--host", settings.local_bind, "--port", str(settings.local_aws_port))
    server = Child(
        name="AWS stand-in",
        command=[sys.executable, str(_PROGRAM), *address],
        answers=lambda: is_aws_up(settings),
        log=folder / "aws.log",
        environment=process_environment(),
        explain=lambda words: _explain(settings, words),
        prepare=lambda: make_resources(settings),
    )
    try:
        yield server
    finally:
        server.stop()


def is_aws_up(settings: Settings) -> bool:
    """Somebody accepts connections on its port."""
    address = ("127.0.0.1", settings.local_aws_port)
    with suppress(OSError), socket.create_connection(address, _ANSWER_SECONDS):
        return True
    return False


def make_resources(settings: Settings) -> None:
    """The queue and both buckets, where they are not there yet."""
    for bucket in {settings.code_bucket, settings.output_bucket}:
        _make_bucket(settings, bucket)
    _make_queue(settings)  # last: who finds the queue finds everything


def _make_queue(settings: Settings) -> None:
    attributes = {"VisibilityTimeout": str(settings.visibility_timeout_s)}
    make_client(settings, "sqs").create_queue(QueueName=LOCAL_QUEUE, Attributes=attributes)


def _make_bucket(settings: Settings, bucket: str) -> None:
    s3 = make_client(settings, "s3")
    region = settings.aws_region
    # S3 wants the region said, unless it is the first one.
    place = {} if region == "us-east-1" else {"LocationConstraint": region}
    options = {"CreateBucketConfiguration": place} if place else {}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **options)


def _explain(settings: Settings, words: str) -> str:
    if "is in use" in words or "Address already in use" in words:
        return (
            f"Port {settings.local_aws_port} is taken: set LOCAL_AWS_PORT to a free one, or name "
            "the endpoint that should be used in AWS_ENDPOINT_URL."
        )
    if "No module named 'moto'" in words:
        return "moto is not installed: run `make setup`, or name a queue in SQS_QUEUE_URL."
    return f"The AWS stand-in ended: {words}"
