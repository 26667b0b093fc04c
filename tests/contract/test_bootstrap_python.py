"""How the Python bootstrap tells a sender what to mend; in the fake, as all kinds run the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.sandbox import Exit
from tests.contract.sandboxes import Dialogue, make_code, make_spec, started
from tests.fakes.process_sandbox import ProcessFactory


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFactory]:
    factory = ProcessFactory(tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture
def dialogue(
    request: pytest.FixtureRequest, factory: ProcessFactory, tmp_path: Path
) -> Iterator[Dialogue]:
    """A sandbox whose main.py is the test's parameter."""
    code = make_code(tmp_path / "code", main=request.param)
    with started(factory, make_spec(code)) as dialogue:
        yield dialogue


def with_main(source: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialogue", [source], indirect=True, ids=[""])


def handler(body: str) -> str:
    return f"import os, sys\ndef handler(event, context):\n    {body}\n"


INIT_FAILURES = {
    "import_module": (
        "import requests_of_nobody",
        "main.handler",
        "Runtime.ImportModuleError",
        "No module named 'requests_of_nobody'. Add it to the archive: pip install",
    ),
    "no_such_file": (
        "",
        "app.handler",
        "Runtime.ImportModuleError",
        "into the archive, counted from its root, or set handler; the archive holds: main.py",
    ),
    "handler_not_found": (
        "def run(e, c): ...\ndef go(e, c): ...\nclass A: ...",
        "main.handler",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'main'; it defines: go, run. ",
    ),
    "syntax": ("def handler(:", "main.handler", "Runtime.UserCodeSyntaxError", "main.py, line 1"),
    "malformed": ("", "handler", "Runtime.MalformedHandlerName", "for example main.handler"),
    "built_in": ("", "json.handler", "Runtime.BuiltInModuleConflict", "Rename the file"),
    "raises": ("1 / 0", "main.handler", "ZeroDivisionError", "division by zero"),
    "exits": ("exit(4)", "main.handler", "Runtime.ExitError", "sys.exit(4)"),
}


@pytest.mark.parametrize(
    ("dialogue", "name", "kind", "message"),
    INIT_FAILURES.values(),
    ids=INIT_FAILURES,
    indirect=["dialogue"],
)
def test_init_failures(dialogue: Dialogue, name: str, kind: str, message: str) -> None:
    """Each cause has Lambda's type, and a message that names the next step."""
    failure = dialogue.init(name)["failure"]

    assert isinstance(failure, dict)
    assert (kind, True) == (failure["type"], message in failure["message"]), failure


CALL_FAILURES = {
    "raises": ("raise KeyError('no such bird')", "KeyError", "'no such bird'"),
    "not_json": ("return {1, 2}", "Runtime.MarshalError", "a value of type set is not JSON"),
    "nan": ("return float('nan')", "Runtime.MarshalError", "finite numbers"),
    "recursive": ("a = []; a.append(a); return a", "Runtime.MarshalError", "Circular reference"),
    "too_large": (
        "return 'x' * 6291555",
        "Function.ResponseSizeTooLarge",
        "(6291557 bytes) exceeded maximum allowed payload size (6291556 bytes). Write large",
    ),
    "exits": ("sys.exit('bye')", "Runtime.ExitError", "sys.exit('bye')"),
    "interrupts": ("raise KeyboardInterrupt", "Runtime.ExitError", "KeyboardInterrupt"),
    "deep": ("return handler(event, context)", "RecursionError", "maximum recursion depth"),
    "long": ("raise ValueError('\\x00' * 1_000_000)", "ValueError", "\x00" * 100),
}


@pytest.mark.parametrize(
    ("dialogue", "kind", "message"),
    [(handler(body), kind, message) for body, kind, message in CALL_FAILURES.values()],
    ids=CALL_FAILURES,
    indirect=["dialogue"],
)
def test_call_failures(dialogue: Dialogue, kind: str, message: str) -> None:
    """The function's failure is an answer like another."""
    dialogue.init()
    failure = dialogue.failure()

    assert (kind, True) == (failure["type"], message in str(failure["message"])), failure


@with_main(handler("return inner()") + "def inner():\n    raise RuntimeError('x')\n")
def test_stack_is_the_users(dialogue: Dialogue) -> None:
    """Frames of the bootstrap are not in the stack; the lines are Lambda's."""
    dialogue.init()
    folder = dialogue.sandbox.spec.code_dir
    assert folder is not None
    path = folder / "main.py"

    expected = [
        f'  File "{path}", line 3, in handler\n    return inner()\n',
        f"  File \"{path}\", line 5, in inner\n    raise RuntimeError('x')\n",
    ]
    assert expected == dialogue.failure()["stack"]
    assert expected == dialogue.failure()["stack"]  # it goes on after a failure


@with_main(handler("sys.exit(7)"))
def test_exit_ends_the_process(dialogue: Dialogue) -> None:
    """After the failure is told the sandbox ends, and is replaced."""
    dialogue.init()
    dialogue.failure()

    assert b"" == dialogue.sandbox.control.recv(1)
    assert Exit(out_of_memory=False, reason="exit status 7") == dialogue.sandbox.describe_exit()


@with_main(handler("from decimal import Decimal as D; return [D('1.5'), D(2), '새', event]"))
def test_output(dialogue: Dialogue) -> None:
    """Decimals are numbers, text is not escaped, an output of exactly the limit passes."""
    dialogue.init()

    assert '[1.5,2,"새",{"a":null}]'.encode() == dialogue.output(b'{"a": null}')


@with_main(handler("return 'x' * 6291554"))
def test_largest_output(dialogue: Dialogue) -> None:
    dialogue.init()

    assert 6_291_556 == len(dialogue.output())


@pytest.mark.parametrize("name", ["pkg/inner.run", "pkg.inner.run"])
def test_handler_in_a_package(factory: ProcessFactory, tmp_path: Path, name: str) -> None:
    """Both spellings of a nested module are Lambda's."""
    code = make_code(tmp_path / "code")
    make_code(code / "pkg", inner="def run(event, context): return __name__")
    with started(factory, make_spec(code)) as dialogue:
        assert {} == dialogue.init(name)
        assert b'"pkg.inner"' == dialogue.output()
