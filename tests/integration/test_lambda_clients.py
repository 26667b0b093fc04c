"""Published Lambda runtime clients, unmodified, in sandboxes; and a Go program on the bare API.

What they do with the executor's loop around them (time-outs, panics, the next call) is in
tests/e2e/test_runtime_api.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.go_compiler import find_fault
from executor.sandbox import SandboxSpec
from shared.events import Runtime
from tests.contract.runtime_api import started
from tests.contract.sandboxes import (
    REAL_KINDS,
    ClosableFactory,
    make_factory,
    make_files,
    make_spec,
    need_compiler,
    need_kind,
)
from tests.lambda_clients import (
    GO_SOURCE,
    lay_nodejs_client,
    lay_python_client,
)

pytestmark = pytest.mark.timeout(600)  # the first one installs the clients
LIMIT = 6 * 1024 * 1024 + 100

PYTHON = """
import os, time
calls = 0

def handler(event, context):
    global calls
    calls += 1
    what = event["do"]
    if what == "echo":
        return event["value"]
    if what == "context":
        return [context.aws_request_id, context.function_name, context.memory_limit_in_mb,
                context.invoked_function_arn, 3000 < context.get_remaining_time_in_millis() <= 5000]
    if what == "large":
        return "x" * (event["count"] - 2)
    if what == "raise":
        raise KeyError("quantity")
    if what == "marshal":
        return {1, 2}
    if what == "exit":
        os._exit(event["count"])
    print("call", calls)
    return calls
"""
NODEJS = """
let calls = 0;
export const handler = async (event, context) => {
  calls += 1;
  switch (event.do) {
    case "echo": return event.value;
    case "context": return [
      context.awsRequestId, context.functionName, context.memoryLimitInMB,
      context.invokedFunctionArn, context.getRemainingTimeInMillis() > 3000,
    ];
    case "large": return "x".repeat(event.count - 2);
    case "raise": throw new TypeError("quantity");
    case "exit": process.exit(event.count);
    case "nothing": return undefined;
  }
  console.log("call", calls);
  return calls;
};
"""
CONTEXT = ["r-1", "f", "256", "arn:aws:lambda:eu-west-1:000000000000:function:f", True]


@pytest.fixture(scope="module", params=REAL_KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    for runtime in (Runtime.PYTHON, Runtime.NODEJS):
        need_kind(request.param, runtime)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture
def python(tmp_path: Path) -> SandboxSpec:
    code = lay_python_client(tmp_path / "code", {"app.py": PYTHON})
    return _own(code, Runtime.PYTHON, "app.handler")


@pytest.fixture
def nodejs(tmp_path: Path) -> SandboxSpec:
    code = lay_nodejs_client(tmp_path / "code", {"app.mjs": NODEJS})
    return _own(code, Runtime.NODEJS, "app.handler")


@pytest.fixture
def nodejs_alone(nodejs: SandboxSpec) -> SandboxSpec:
    """The same, asking for calls without its addition in C++."""
    return replace(nodejs, env_vars={"AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1": "true"})


@pytest.fixture(scope="module")
def go(factory: ClosableFactory, tmp_path_factory: pytest.TempPathFactory) -> SandboxSpec:
    need_compiler(factory.kind)
    need_kind(factory.kind, Runtime.GO)
    folder = tmp_path_factory.mktemp("go")
    sources = make_files(folder / "sources", {"main.go": GO_SOURCE.read_text()})
    code = make_files(folder / "code", {})
    program = code / "bootstrap"
    compilation = factory.compile_go(sources, program)
    assert find_fault(compilation, program.read_bytes()[:4]) is None
    program.chmod(0o755)
    return _own(code, Runtime.GO, "bootstrap")


def _own(code: Path, runtime: Runtime, handler: str) -> SandboxSpec:
    return replace(make_spec(code, runtime=runtime), handler=handler, own_bootstrap=True)


@pytest.mark.parametrize("client", ["python", "nodejs", "nodejs_alone"])
def test_clients_serve(
    factory: ClosableFactory, request: pytest.FixtureRequest, client: str
) -> None:
    """Warm state, context, logs, and the largest answer that is allowed."""
    spec = request.getfixturevalue(client)
    with started(factory, spec) as caller:
        assert {} == caller.init(env=spec.env_vars)
        calls = [caller.output({"do": "count"}) for _ in range(2)]
        logs = caller.logs()
        context = caller.output({"do": "context"}, request_id="r-1")
        value = {"text": "안녕", "nested": [1, 2.5, None, True]}

        assert [1, 2] == calls
        assert "call" in logs
        assert CONTEXT == context
        assert value == caller.output({"do": "echo", "value": value})
        assert LIMIT - 2 == len(caller.output({"do": "large", "count": LIMIT}))
        assert 6_000_000 == len(caller.output({"do": "echo", "value": "x" * 6_000_000}))


@pytest.mark.parametrize(("client", "expected"), [("python", "KeyError"), ("nodejs", "TypeError")])
def test_exceptions_of_the_handler(
    factory: ClosableFactory, request: pytest.FixtureRequest, client: str, expected: str
) -> None:
    """Type, message and stack arrive; the same process serves the next call."""
    spec = request.getfixturevalue(client)
    with started(factory, spec) as caller:
        caller.init(env=spec.env_vars)
        failure = caller.call(b'{"do": "raise"}').head["failure"]

        assert isinstance(failure, dict)
        assert expected == failure["type"]
        assert "quantity" in failure["message"]
        assert any("app" in line for line in failure["stack"])
        assert 2 == caller.output({"do": "count"})


@pytest.mark.parametrize("client", ["python", "nodejs"])
def test_an_answer_too_large(
    factory: ClosableFactory, request: pytest.FixtureRequest, client: str
) -> None:
    """The call fails with Lambda's type, whatever the client makes of the 413."""
    spec = request.getfixturevalue(client)
    with started(factory, spec) as caller:
        caller.init(env=spec.env_vars)
        failure = caller.failure({"do": "large", "count": LIMIT + 1})

    assert "Function.ResponseSizeTooLarge" == failure["type"]


@pytest.mark.parametrize("client", ["python", "nodejs"])
def test_modules_that_cannot_be_loaded(
    factory: ClosableFactory, request: pytest.FixtureRequest, client: str
) -> None:
    """The client's report fails the init."""
    spec = request.getfixturevalue(client)
    with started(factory, spec) as caller:
        head = caller.init(env=spec.env_vars, handler="missing.handler")

    assert isinstance(head["failure"], dict)
    assert "Runtime.ImportModuleError" == head["failure"]["type"]


@pytest.mark.parametrize("client", ["python", "nodejs", "go"])
def test_exit_of_the_process(
    factory: ClosableFactory, request: pytest.FixtureRequest, client: str
) -> None:
    """It is seen at once, with its status."""
    spec = request.getfixturevalue(client)
    with started(factory, spec) as caller:
        caller.init(env=spec.env_vars)
        caller.send_call(b'{"do": "exit", "count": 3}')

        assert caller.receive() is None
        assert "exit status 3" == caller.sandbox.describe_exit().reason


def test_python_result_that_is_no_json(factory: ClosableFactory, python: SandboxSpec) -> None:
    """The client says so itself."""
    with started(factory, python) as caller:
        caller.init()

        assert "Runtime.MarshalError" == caller.failure({"do": "marshal"})["type"]


def test_nodejs_undefined_is_null(factory: ClosableFactory, nodejs: SandboxSpec) -> None:
    """A handler that returns nothing returns null."""
    with started(factory, nodejs) as caller:
        caller.init(env=nodejs.env_vars)

        assert caller.output({"do": "nothing"}) is None


def test_go_serves(factory: ClosableFactory, go: SandboxSpec) -> None:
    """Chunked answers with trailers, warm state, the largest answer, text as a string."""
    with started(factory, go) as caller:
        caller.init()

        assert [1, 2] == [caller.output({"do": "calls"}) for _ in range(2)]
        assert "call 1\ncall 2\n" == caller.logs()
        assert {"a": [1]} == caller.output({"do": "echo", "value": {"a": [1]}})
        assert LIMIT - 2 == len(caller.output({"do": "large", "count": LIMIT}))
        assert "just text" == caller.output({"do": "text"})


def test_go_fails_in_the_trailers(factory: ClosableFactory, go: SandboxSpec) -> None:
    """A stream that breaks off says so behind its body."""
    with started(factory, go) as caller:
        caller.init()
        failure = caller.call(b'{"do": "break off"}').head["failure"]

        assert {"type": "Function.BrokeOff", "message": "half way", "stack": ()} == failure
        assert 2 == caller.output({"do": "calls"})


def test_go_error(factory: ClosableFactory, go: SandboxSpec) -> None:
    """Its stack of objects becomes lines."""
    with started(factory, go) as caller:
        caller.init()
        failure = caller.call(b'{"do": "error"}').head["failure"]

        assert {"type": "Refusal", "message": "not today", "stack": ("main.go:1 main",)} == failure


def test_go_panic(factory: ClosableFactory, go: SandboxSpec) -> None:
    """It is reported, and then the process is gone."""
    with started(factory, go) as caller:
        caller.init()
        failure = caller.failure({"do": "surprise"})

        assert ("errorString", "unknown: surprise") == (failure["type"], failure["message"])
        assert caller.receive() is None
        assert "exit status 1" == caller.sandbox.describe_exit().reason


def test_go_answer_too_large(factory: ClosableFactory, go: SandboxSpec) -> None:
    """The 413 is read by a client that is still sending; it ends itself, as Lambda's does."""
    with started(factory, go) as caller:
        caller.init()
        failure = caller.failure({"do": "large", "count": LIMIT + 1})

        assert "Function.ResponseSizeTooLarge" == failure["type"]
        assert caller.receive() is None
        assert "answered 413" in caller.logs()
