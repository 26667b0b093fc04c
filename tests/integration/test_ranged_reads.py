"""The stand-in for AWS answers ranges as moto does, only faster."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from msgspec import structs

from local.aws_server import aws_server
from local.stack import find_free_ports
from shared.aws import make_client
from shared.settings import Settings

BODY = os.urandom(1 << 20)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of it, with one object."""
    (port,) = find_free_ports(1)
    state_dir = str(tmp_path_factory.mktemp("state"))
    settings = structs.replace(Settings(), local_aws_port=port, state_dir=state_dir)
    with aws_server(settings) as server:
        server.start(threading.Event())
        client = make_client(settings, "s3")
        client.put_object(Bucket="hearth-code", Key="object", Body=BODY)
        yield client
        client.close()


def read(client: Any, wanted: str, **more: str) -> bytes:
    answer = client.get_object(Bucket="hearth-code", Key="object", Range=wanted, **more)
    return bytes(answer["Body"].read())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-0", BODY[:1]),
        ("bytes=10-19", BODY[10:20]),
        ("bytes=1000000-", BODY[1_000_000:]),
        ("bytes=1000000-9999999", BODY[1_000_000:]),
        ("bytes=-7", BODY[-7:]),
        ("bytes=5-2", BODY),
        ("bytes=0-1,5-6", BODY),
        ("lines=1-2", BODY[1:3]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # the bytes are random
)
def test_ranges(stand_in: Any, wanted: str, expected: bytes) -> None:
    """Plain ones, open ones, and those that moto takes for the whole object."""
    assert read(stand_in, wanted) == expected


def test_a_range_beyond_the_end(stand_in: Any) -> None:
    """Is refused."""
    with pytest.raises(ClientError, match="InvalidRange"):
        read(stand_in, f"bytes={len(BODY)}-")


def test_conditions_and_sizes(stand_in: Any) -> None:
    """What an input stream rests on."""
    first = stand_in.get_object(Bucket="hearth-code", Key="object", Range="bytes=0-9")
    assert f"bytes 0-9/{len(BODY)}" == first["ContentRange"]
    assert read(stand_in, "bytes=0-9", IfMatch=first["ETag"]) == BODY[:10]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        read(stand_in, "bytes=0-9", IfMatch='"other"')
    whole = stand_in.get_object(Bucket="hearth-code", Key="object")
    assert whole["Body"].read() == BODY
