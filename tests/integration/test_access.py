"""Redis with TLS and a user for each process: everything works, nothing more is allowed.

And what must stay secret (passwords, keys, environment variables) is searched for everywhere.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import redis

from local.stack import STAGES, Stack, local_environment
from shared.access import USERS
from shared.settings import Settings
from shared.topology import DEAD, MODELS, REQUESTS, STREAMS, Stream, key
from tests.e2e.client import Client
from tests.fixtures_cluster import wait_until
from tests.fixtures_stack import SOON, MakeStack, ask_to_stop
from tests.integration.guarded_redis import GuardedRedis
from tests.integration.recorded_calls import is_allowed as is_allowed_by_policy
from tests.integration.recorded_calls import read_calls

PEOPLE = ("operator", "console")  # they put dead letters back
LOOKERS = (*PEOPLE, "metrics", "traces")
AWS_SECRET = "aws-secret-that-nobody-should-see"
ENV_VALUE = "variable-of-a-function-that-nobody-should-see"
FUNCTION = """
import os

def handler(event, context):
    if event == "fail":
        raise ValueError("as asked")
    if event == "files":
        print("x" * 40_000)
        with open(os.environ["OUTPUT_DIR"] + "/large", "wb") as file:
            file.write(bytes(9 << 20))
        with open(context.input_path) as file:
            return file.read() + "y" * 200_000
    return event
"""


class GuardedClient(Client):
    """A client with the rights of a client."""

    def __init__(self, server: GuardedRedis, settings: Settings) -> None:
        self._server = server
        super().__init__(server.port, str(settings.aws_endpoint), settings.queue_url)

    def listen(self) -> None:
        self.redis = self._server.connect("client")
        self.pubsub = self.redis.pubsub()
        self.pubsub.psubscribe("result:*")

    def pending(self) -> dict[str, int]:
        with self._server.connect("admin") as admin:
            return {
                name: total
                for name in admin.scan_iter("{hearth:*}:*", _type="stream")
                for group in admin.xinfo_groups(name)
                if (total := group["pending"] + (group["lag"] or 0))
            }


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedRedis]:
    """A server of one test."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    server = GuardedRedis(folder)
    server.start()
    yield server
    server.stop()


def run_hearth(stack: Stack, *words: str) -> str:
    """What a person types, with the operator's rights."""
    environment = {**os.environ, **stack.environment}
    command = [sys.executable, "-m", "cli.main", *words]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def start_with_users(stack: Stack, guarded: GuardedRedis, *names: str) -> None:
    """Each process with its own user."""
    for name in names:
        own = {"REDIS_URL": guarded.url(name), "AWS_ACCESS_KEY_ID": name}
        stack.environment = {**stack.environment, **own}
        stack.start(name)


def read_all(admin: Any) -> str:
    """Everything in Redis, as text."""
    parts = []
    for name in admin.scan_iter("*"):
        kind = admin.type(name)
        found = (
            admin.xrange(name) if kind == "stream"
            else admin.hgetall(name) if kind == "hash"
            else admin.get(name)
        )  # fmt: skip
        parts.append(f"{name} {json.dumps(found)}")
    return "\n".join(parts)


def test_every_process_works_with_its_own_user_and_tells_no_secret(
    make_stack: MakeStack, guarded: GuardedRedis, tmp_path: Path
) -> None:
    """A whole stack over TLS: results, burials, a replay; nothing was refused, nothing leaked.

    And each process called AWS for no more than its policy in `deploy/iam` allows.
    """
    stack, client = make_stack(
        "local",
        connect=lambda stack: GuardedClient(guarded, stack.settings),
        REDIS_URL=guarded.url("admin"),
        REDIS_CA_FILE=guarded.ca_file,
        LOG_LEVEL="DEBUG",
        MOTO_ENABLE_RECORDING="1",
        MOTO_RECORDER_FILEPATH=os.fspath(tmp_path / "calls"),
    )
    inner = dict(stack.environment)
    stack.environment = {
        **inner,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{inner['LOCAL_AWS_PORT']}",
        "AWS_SECRET_ACCESS_KEY": AWS_SECRET,
    }
    start_with_users(stack, guarded, *STAGES, "metrics")
    client.deploy("f", {"main.py": FUNCTION})
    for number, event in enumerate(["one", "fail"]):
        client.send(f"r{number}", "f", input=event, envVars={"TOKEN": ENV_VALUE})
    client.send("r2", "f", memoryMb=1, envVars={"TOKEN": ENV_VALUE})
    client.send("r3", "f", envVars={"TOKEN": {"not text": ENV_VALUE}})
    client.send("r4", "f", input="one", memoryMb="auto")
    client.s3.create_bucket(Bucket="inputs")
    client.s3.put_object(Bucket="inputs", Key="some", Body=b"text")
    client.send("r5", "f", input="files", inputS3={"bucket": "inputs", "key": "some"})
    client.send_body(f"no JSON {guarded.port}")
    documents = client.wait_kept([f"r{number}" for number in range(6)], seconds=40)
    admin = guarded.connect("admin")
    admin.xadd(key(REQUESTS, 0), {"event": "no event"})
    wait_until(lambda: admin.xlen(key(DEAD, 0)) == 2, "both are buried")
    stack.kill("tuner")
    start_with_users(stack, guarded, "tuner")
    client.wait_settled()
    stack.environment = {**stack.environment, "REDIS_URL": guarded.url("operator")}
    told = run_hearth(stack, "dead", "list") + run_hearth(stack, "refresh")
    with urlopen(f"http://127.0.0.1:{inner['METRICS_PORT']}/metrics", timeout=5) as answer:
        told += answer.read().decode()
    ask_to_stop(stack)
    stack.terminate([*STAGES, "metrics"])
    assert stack.log_path is not None
    told += stack.log_path.read_text()

    statuses = ["SUCCESS", "FAILED", "REJECTED", "REJECTED", "SUCCESS", "SUCCESS"]
    assert statuses == [one["status"] for one in documents]
    calls = {one for one in read_calls(tmp_path / "calls") if one.user != "local"}  # the client
    assert {"ingest", "executor", "publisher"} == {call.user for call in calls}
    assert [] == [call for call in calls if not is_allowed_by_policy(call)]
    assert [] == [(one["username"], one["object"]) for one in admin.acl_log()]
    in_redis = read_all(admin)
    for secret in (AWS_SECRET, *map(guarded.password, [*USERS, "admin"])):
        assert secret not in told + in_redis
    assert ENV_VALUE not in told
    # A function needs its variables, so the request has them; nothing after it does.
    holders = {line.split()[0] for line in in_redis.splitlines() if ENV_VALUE in line}
    assert holders <= {key(REQUESTS, 0)}
    stored = client.s3.list_objects_v2(Bucket=client.output_bucket).get("Contents", [])
    for item in stored:
        body = client.s3.get_object(Bucket=client.output_bucket, Key=item["Key"])["Body"].read()
        assert ENV_VALUE.encode() not in body
    admin.close()


def is_allowed(client: Any, *command: object) -> bool:
    """Whether the user may; what comes of it does not matter."""
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.ResponseError as error:
        return "user executing the script" not in str(error)
    return True


def writers(stream: Stream) -> set[str]:
    """Who may append to a stream."""
    stages = set(STAGES) if stream is DEAD else {stream.writer}
    return {*stages, *PEOPLE}


def test_a_user_can_do_nothing_else(guarded: GuardedRedis) -> None:
    """Each stage appends to its own streams alone, reads what it is given, and rules nothing."""
    admin = guarded.connect("admin")
    for stream in STREAMS:
        admin.xadd(key(stream, 0), {"event": "{}"})
        admin.xgroup_create(key(stream, 0), stream.group, "0")
    readers = {
        stream: {
            stream.group,
            *LOOKERS,
            "archive",
            *({"replay"} if stream.group == "tuner" else ()),
            *({"ingest"} if stream is not MODELS else ()),  # whose messages are under way
        }
        for stream in STREAMS
    }
    for user in USERS:
        client = guarded.connect(user)
        for stream in STREAMS:
            name = key(stream, 0)
            assert is_allowed(client, "XADD", name, "*", "event", "{}") == (user in writers(stream))
            assert is_allowed(client, "XRANGE", name, "-", "+") == (user in readers[stream]), name
            trims = is_allowed(client, "XTRIM", name, "MINID", "0-1")
            assert trims == (user == "archive"), (user, name)
            assert not is_allowed(client, "DEL", name), user
            purges = is_allowed(client, "XDEL", name, "0-1")
            assert purges == (user == "operator" and stream is DEAD), (user, name)
            script = "return redis.call('XADD', KEYS[1], '*', 'event', 'forged')"
            forged = is_allowed(client, "EVAL", script, 1, name)
            assert forged == (user in writers(stream) - {"replay"}), (user, name)
        for words in ("FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "MONITOR", "SHUTDOWN",
                      "SCRIPT FLUSH", "SAVE"):  # fmt: skip
            assert not is_allowed(client, *words.split()), (user, words)
        assert is_allowed(client, "SET", "job:r", "{}", "NX") == (user == "publisher")
        assert is_allowed(client, "GET", "job:r") == (user in ("client", *PEOPLE))
        client.close()
    admin.close()


def test_a_server_that_the_authority_did_not_sign_is_refused(
    guarded: GuardedRedis, tmp_path: Path
) -> None:
    """Without REDIS_CA_FILE the system's authorities count, and they do not know it."""
    environment = {**os.environ, **local_environment(tmp_path / "x"), **SOON}
    environment["REDIS_URL"] = guarded.url("operator")
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "dead", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode != 0
    assert "certificate" in done.stderr.lower()
    assert guarded.password("operator") not in done.stderr
