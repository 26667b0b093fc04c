"""Where files pass between the executor and a sandbox, on every kind of it."""

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.bubblewrap_command import USER_ID
from tests.contract.sandboxes import (
    KINDS,
    ClosableFactory,
    Dialogue,
    leftovers_of_state,
    make_code,
    make_factory,
    make_spec,
    need_kind,
    started,
)

FUNCTION = r'''
import os

def handler(event, context):
    """Run what the event says."""
    return eval(event)

def attempt(what):
    try:
        return what()
    except OSError as error:
        return type(error).__name__

def read_input():
    with open(os.environ["INPUT_FILE"], "rb") as stream:
        return stream.read().decode()

def write(name):
    path = os.path.join(os.environ["OUTPUT_DIR"], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(name)

def make_device():
    os.mknod(os.environ["OUTPUT_DIR"] + "/null", 0o666 | 0o020000, os.makedev(1, 3))
'''


@pytest.fixture(params=KINDS)
def factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClosableFactory]:
    need_kind(request.param)
    factory = make_factory(request.param, tmp_path / "state")
    yield factory
    factory.close()
    assert [] == leftovers_of_state(tmp_path / "state")


@pytest.fixture
def dialogue(factory: ClosableFactory, tmp_path: Path) -> Iterator[Dialogue]:
    code = make_code(tmp_path / "code", main=FUNCTION)
    with started(factory, make_spec(code)) as dialogue:
        assert {} == dialogue.init(env={"OUTPUT_DIR": "/etc", "INPUT_FILE": "/etc/passwd"})
        yield dialogue


def ask(dialogue: Dialogue, expression: str) -> object:
    return json.loads(dialogue.output(json.dumps(expression).encode()))


def test_a_fifo_leads_in(dialogue: Dialogue) -> None:
    """Made while the sandbox runs, read as a file, and gone when its name is."""
    exchange = dialogue.sandbox.exchange
    fifo = exchange.run / "input"
    for text in ("first", "second"):
        assert "FileNotFoundError" == ask(dialogue, "attempt(read_input)")
        os.mkfifo(fifo, 0o644)
        writer = threading.Thread(target=fifo.write_text, args=(text,))
        writer.start()
        assert text == ask(dialogue, "read_input()")
        writer.join(5)
        fifo.unlink()


def test_the_call_names_the_places(dialogue: Dialogue) -> None:
    """The context as well as the environment, which senders cannot change."""
    inside = dialogue.sandbox.exchange.input_inside
    event = b'"[context.input_path, context.input_bytes, context.output_dir]"'
    places = json.loads(dialogue.output(event, input_path=inside, input_bytes=5))

    assert [inside, 5] == places[:2]
    assert places[2] == ask(dialogue, "os.environ['OUTPUT_DIR']")
    assert inside == ask(dialogue, "os.environ['INPUT_FILE']")
    assert [None, None] == ask(dialogue, "[context.input_path, context.input_bytes]")


def test_files_come_out(dialogue: Dialogue, factory: ClosableFactory) -> None:
    """Folders too; the executor sees them, empties all, and the sandbox sees that."""
    output = dialogue.sandbox.exchange.output
    assert not output.was_written()
    ask(dialogue, "write('a/b/c.txt')")

    assert output.was_written()
    found = {path: status for path, status in output.find() if stat.S_ISREG(status.st_mode)}
    assert ["a/b/c.txt"] == list(found)
    if factory.kind != "process" and os.geteuid() == 0:
        assert USER_ID == found["a/b/c.txt"].st_uid
    assert output.empty()
    assert [] == ask(dialogue, "os.listdir(os.environ['OUTPUT_DIR'])")


def test_the_folder_gives_no_rights(dialogue: Dialogue, factory: ClosableFactory) -> None:
    """No device can be made in it, and its own mode stays what it is."""
    if factory.kind == "process":
        pytest.skip("it isolates nothing")

    assert "PermissionError" == ask(dialogue, "attempt(make_device)")
    expression = "attempt(lambda: os.chmod(os.environ['OUTPUT_DIR'], 0))"
    if os.geteuid() == 0:
        assert "PermissionError" == ask(dialogue, expression)
    assert "OSError" == ask(dialogue, "attempt(lambda: os.mkfifo('/run/hearth/input'))")
