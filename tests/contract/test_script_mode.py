"""Modules without a handler: they run as scripts, PAYLOAD in the environment, stdout the answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.sandbox import SandboxSpec
from shared.events import Runtime
from tests.contract.sandboxes import (
    KINDS,
    ClosableFactory,
    Dialogue,
    make_factory,
    make_files,
    make_spec,
    need_kind,
    started,
)

PYTHON = """
import json, os, sys, lib
event = json.loads(os.environ["PAYLOAD"])
print("to the log", file=sys.stderr)
if event.get("exit"):
    sys.exit(event["exit"])
if event.get("raise"):
    raise KeyError("quantity")
if event.get("text"):
    print(event["text"], flush=True)
    os.system("echo from a child")
else:
    print(json.dumps({"got": event, "name": __name__, "twice": lib.twice(event["number"])}))
"""
NODEJS = """
const lib = require("./lib.js");
const event = JSON.parse(process.env.PAYLOAD);
console.error("to the log");
if (event.exit) process.exit(event.exit);
if (event.raise) throw new Error("quantity");
if (event.text) {
  console.log(event.text);
  require("child_process").execSync("echo from a child", { stdio: "inherit" });
} else {
  setTimeout(() => console.log(JSON.stringify({
    got: event, name: "__main__", twice: lib.twice(event.number) })), 10);
}
"""
SOURCES = {
    Runtime.PYTHON: {"main.py": PYTHON, "lib.py": "def twice(x): return 2 * x"},
    Runtime.NODEJS: {"index.js": NODEJS, "lib.js": "exports.twice = (x) => 2 * x;"},
}


@pytest.fixture(scope="module", params=KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    for runtime in SOURCES:
        need_kind(request.param, runtime)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture(params=SOURCES)
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxSpec:
    """The same script in both languages."""
    code = make_files(tmp_path / "code", SOURCES[request.param])
    return make_spec(code, runtime=request.param)


def call(dialogue: Dialogue, event: object) -> object:
    return json.loads(dialogue.output(json.dumps(event).encode()))


def test_json_that_is_printed_is_the_answer(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Each call runs the script anew; stderr is the log."""
    with started(factory, spec) as dialogue:
        assert {} == dialogue.init()
        for number in (1, 2):
            expected = {"got": {"number": number}, "name": "__main__", "twice": 2 * number}
            assert expected == call(dialogue, {"number": number})
        assert "to the log\nto the log\n" == dialogue.logs()


def test_text_that_is_printed_is_a_string(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Of children too."""
    with started(factory, spec) as dialogue:
        dialogue.init()

        assert "안녕\nfrom a child" == call(dialogue, {"text": "안녕"})


def test_scripts_that_fail(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The exit status decides; what was printed is dropped, the error's words are in the log."""
    with started(factory, spec) as dialogue:
        dialogue.init()
        left, raised = dialogue.failure(b'{"exit": 3}'), dialogue.failure(b'{"raise": true}')

        assert {"Runtime.ScriptFailed"} == {left["type"], raised["type"]}
        assert "exit status 3" in str(left["message"])
        assert "exit status 1" in str(raised["message"])
        assert "quantity" in dialogue.logs()
        assert isinstance(call(dialogue, {"number": 1}), dict)


def test_payloads_are_bounded(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """What no environment holds is told as such."""
    with started(factory, spec) as dialogue:
        dialogue.init()
        failure = dialogue.failure(json.dumps({"text": "x" * 200_000}).encode())

    assert "131000 bytes" in str(failure["message"])


@pytest.mark.parametrize(
    ("source", "is_script"),
    [
        ("print(1)", True),
        ("def main():\n    print(1)\nmain()", True),
        ("def f(a, b): print(1)\nif __name__ == '__main__':\n    f(1, 2)", True),
        ("import os\nfor _ in range(1): print(len(os.environ['PAYLOAD']) and 1)", True),
        ("def run(event, context): return 1", False),
        ("import logging\nlogging.basicConfig()\ndef lambda_handler(event, context): pass", False),
        ("try:\n    import json\nexcept ImportError:\n    json = None", False),
        ("'''Only words.'''", False),
    ],
)
def test_what_a_python_script_is(tmp_path: Path, source: str, is_script: bool) -> None:
    """It does something when run, and has nothing that was meant as a handler."""
    factory = make_factory("process", tmp_path / "state")
    spec = make_spec(make_files(tmp_path / "code", {"main.py": source}))
    with started(factory, spec) as dialogue:
        head = dialogue.init()
        failure = head.get("failure")

        assert is_script == (failure is None)
        if failure is None:
            assert b"1" == dialogue.output()
        else:
            assert isinstance(failure, dict)
            assert "Runtime.HandlerNotFound" == failure["type"]
    factory.close()


@pytest.mark.parametrize("source", ["print(1)", "handler = 1\nprint(handler)"])
def test_a_handler_that_was_named_is_needed(tmp_path: Path, source: str) -> None:
    """Only the default name may be absent, and only where it is not bound to something else."""
    factory = make_factory("process", tmp_path / "state")
    spec = make_spec(make_files(tmp_path / "code", {"main.py": source}))
    with started(factory, spec) as dialogue:
        failure = dialogue.init("main.handler" if "handler" in source else "main.run")["failure"]

    assert isinstance(failure, dict)
    assert "Runtime.HandlerNotFound" == failure["type"]
    factory.close()
