"""The Runtime API in every kind of sandbox, spoken by a bootstrap of plain Python."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.sandbox import Exit, SandboxSpec
from shared.events import Accuracy, Limits, Runtime
from tests.contract.runtime_api import make_function, started
from tests.contract.sandboxes import KINDS, REAL_KINDS, ClosableFactory, make_factory, need_kind

# In the Python runtime, whose image has an interpreter: an archive's own bootstrap wins there.
BOOTSTRAP = """#!/usr/bin/env python3
import http.client, json, os, signal, subprocess, sys, time

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def ask(method, path, body=None, headers={}):
    api.request(method, "/2018-06-01/runtime/" + path, body, headers)
    answer = api.getresponse()
    return answer, answer.read()

if os.environ.get("FAIL_INIT"):
    error = {"errorType": "Runtime.NoLuck", "errorMessage": "no luck", "stackTrace": ["a", "b"]}
    print(ask("POST", "init/error", json.dumps(error))[0].status)
    sys.exit(1)

while True:
    call, event = ask("GET", "invocation/next")
    id = call.headers["Lambda-Runtime-Aws-Request-Id"]
    answer_to = f"invocation/{id}/"
    what, *more = json.loads(event) or ["headers"]
    if what == "headers":
        result = dict(call.headers)
    elif what == "env":
        result = dict(os.environ)
    elif what == "echo":
        result = more[0]
    elif what == "fill":
        result = len(bytearray(os.urandom(1)) * (more[0] << 20))
    elif what == "say":
        print("to stdout", flush=True)
        subprocess.run(["echo", "from a child"])
        result = None
    elif what == "exit":
        os._exit(more[0])
    elif what == "leave child":
        subprocess.Popen(["sleep", "1000"], start_new_session=True, close_fds=False)
        result = more[0] and os._exit(more[0])
    elif what == "next twice":
        again, same = ask("GET", "invocation/next")
        result = [id == again.headers["Lambda-Runtime-Aws-Request-Id"], event == same]
    elif what == "raise":
        error = {"errorType": "Sad", "errorMessage": "so sad", "stackTrace": []}
        ask("POST", answer_to + "error", json.dumps(error))
        continue
    elif what == "answer and exit":
        ask("POST", answer_to + "response", b"1")
        os._exit(3)
    elif what == "other id":
        refused, body = ask("POST", "invocation/other/response", b"1")
        result = [refused.status, json.loads(body)]
    answered, body = ask("POST", answer_to + "response", json.dumps(result).encode())
    assert (202, b'{"status":"OK"}\\n') == (answered.status, body), body
"""


@pytest.fixture(scope="module", params=KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    need_kind(request.param)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture(scope="module", params=REAL_KINDS)
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    need_kind(request.param)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture
def spec(tmp_path: Path) -> SandboxSpec:
    return make_function(tmp_path / "code", {"bootstrap": BOOTSTRAP}, Runtime.PYTHON)


def test_calls_follow_one_another(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The same process serves call after call, each with the headers of its own."""
    with started(factory, spec) as caller:
        assert {} == caller.init()
        first, second = (caller.output(request_id=f"r-{number}") for number in (1, 2))

    assert ("r-1", "r-2") == tuple(
        headers["Lambda-Runtime-Aws-Request-Id"] for headers in (first, second)
    )
    assert "application/json" == first["Content-Type"]
    assert 13 == len(first["Lambda-Runtime-Deadline-Ms"])
    arn = "arn:aws:lambda:eu-west-1:000000000000:function:f"
    assert arn == first["Lambda-Runtime-Invoked-Function-Arn"]


def test_environment(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The sender's variables win over the defaults, the platform's win over them."""
    with started(factory, spec) as caller:
        caller.init(
            env={"GREETING": "안녕", "_HANDLER": "other", "TZ": "Asia/Seoul", "PATH": "/bin"}
        )
        variables = caller.output(["env"])

    expected = {
        "GREETING": "안녕",
        "TZ": "Asia/Seoul",
        "PATH": "/bin",
        "_HANDLER": "main.handler",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    assert expected == {name: variables.get(name) for name in expected}
    assert variables["LAMBDA_TASK_ROOT"].startswith("/")
    assert variables["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")


def test_the_port_is_lambdas(real: ClosableFactory, spec: SandboxSpec) -> None:
    """Clients that are not told where to go try 127.0.0.1:9001; each sandbox has one of its own."""
    with started(real, spec) as one, started(real, spec) as other:
        for caller in (one, other):
            caller.init()
            assert "127.0.0.1:9001" == caller.output(["env"])["AWS_LAMBDA_RUNTIME_API"]


def test_large_event_and_answer(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Six mebibytes go in and come out whole."""
    value = "x" * (6 * 1024 * 1024 - 100)
    with started(factory, spec) as caller:
        caller.init()

        assert value == caller.output(["echo", value])
        assert 1 == caller.output(["echo", 1])


def test_too_large_an_answer(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """It fails the call in Lambda's words."""
    with started(factory, spec) as caller:
        caller.init()

        failure = caller.failure(["echo", "é" * 1_050_000])

    expected = (
        "Function.ResponseSizeTooLarge",
        "Exceeded maximum allowed payload size (6291556 bytes).",
    )
    assert expected == (failure["type"], failure["message"])


def test_an_error_leaves_the_process(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """As on Lambda: the next call is served by the same process."""
    with started(factory, spec) as caller:
        caller.init()

        failure = caller.call(b'["raise"]').head["failure"]

        assert {"type": "Sad", "message": "so sad", "stack": ()} == failure
        assert 1 == caller.output(["echo", 1])


def test_the_same_event_twice(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """A second /next while the call runs is given the same event at once."""
    with started(factory, spec) as caller:
        caller.init()

        assert [True, True] == caller.output(["next twice"])


def test_another_id_is_refused(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """An answer for a request that is not under way is none."""
    with started(factory, spec) as caller:
        caller.init()

        body = {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
        assert [400, body] == caller.output(["other id"])


def test_init_error(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """What the client posts to /init/error fails the init."""
    with started(factory, spec) as caller:
        head = caller.init(env={"FAIL_INIT": "1"})

    expected = {"type": "Runtime.NoLuck", "message": "no luck", "stack": ("a", "b")}
    assert {"failure": expected} == head


def test_exit_in_a_call(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The end of the process is seen, and its status told."""
    with started(factory, spec) as caller:
        caller.init()
        caller.send_call(b'["exit", 3]')

        assert caller.receive() is None
        assert Exit(out_of_memory=False, reason="exit status 3") == caller.sandbox.describe_exit()


def test_exit_after_the_answer(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The answer stands; there is no READY after it."""
    with started(factory, spec) as caller:
        caller.init()
        caller.send_call(b'["answer and exit"]')

        answer, gone = caller.receive(), caller.receive()

    assert answer is not None
    assert (b"1", None) == (answer.body, gone)


def test_children_left_behind(real: ClosableFactory, spec: SandboxSpec) -> None:
    """They neither keep a call open nor hide the end of the process."""
    with started(real, spec) as caller:
        caller.init()
        assert [0, 1] == [caller.output(["leave child", 0]), caller.output(["echo", 1])]
        caller.send_call(b'["leave child", 3]')

        assert caller.receive(seconds=3) is None
        assert "exit status 3" == caller.sandbox.describe_exit().reason


def test_logs(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Stdout and stderr, of children too, are on the log socket."""
    with started(factory, spec) as caller:
        caller.init()
        caller.output(["say"])

        assert "to stdout\nfrom a child\n" == caller.logs()


def test_no_program(factory: ClosableFactory, tmp_path: Path) -> None:
    """A bootstrap that cannot be executed fails the init and says what to do."""
    for number, (content, expected) in enumerate(
        [
            ("\x7fELF or so", "exec format error. Build it for Linux on x86_64, or begin a script"),
            ("#!/no/such/shell\n", "no such file or directory. It needs an interpreter or a lib"),
        ]
    ):
        spec = make_function(tmp_path / f"code-{number}", {"bootstrap": content})
        with started(factory, spec) as caller:
            failure = caller.init()["failure"]

        assert isinstance(failure, dict)
        assert "Runtime.InvalidEntrypoint" == failure["type"]
        assert expected in failure["message"]


def test_out_of_memory(real: ClosableFactory, spec: SandboxSpec) -> None:
    """Told apart from other ends, as for the other bootstraps."""
    with started(real, replace(spec, limits=Limits(memory_mb=128, timeout_ms=5_000))) as caller:
        caller.init()
        caller.send_call(json.dumps(["fill", 300]).encode())

        assert caller.receive() is None
        assert Exit(True, "signal: killed") == caller.sandbox.describe_exit()


def test_nothing_of_a_server_is_measured(real: ClosableFactory, spec: SandboxSpec) -> None:
    """Peak and CPU are the function's own: its server is outside."""
    with started(real, spec) as caller:
        caller.init()
        meter = caller.sandbox.meter
        meter.before()
        caller.output(["fill", 50])
        peak = int(meter.after()["memory.max_usage_in_bytes"]) >> 20

    assert Accuracy.EXACT == meter.accuracy
    assert 50 < peak < 75
