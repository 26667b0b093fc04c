"""`hearth deploy`, `invoke`, `result` and `rerun`: in a terminal, with --json, used wrongly."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLES
from tests.cli.terminal import Terminal, run, run_here

Environment = Mapping[str, str]


def call(environment: Environment, *arguments: str) -> dict[str, object]:
    """`hearth invoke`, which must succeed; the document."""
    done = run(environment, "invoke", *arguments, "--json")
    assert done.code == 0, done.errors
    document: dict[str, object] = json.loads(done.output)
    return document


def test_deploy_says_what_comes_next(environment: Environment) -> None:
    """The message for any client, and the command that calls the function."""
    with Terminal(environment, "deploy", EXAMPLES / "hello", columns=120) as terminal:
        code = terminal.wait()

    assert 0 == code
    assert "Deployed hello: python main.handler" in terminal.text
    assert '"functionId": "hello"' in terminal.text
    assert terminal.text.endswith("hearth invoke hello --input '{}'")


def test_a_deployment_is_reproducible(environment: Environment, function: Path) -> None:
    """The same files give the same archive, and are uploaded once; other files another."""
    first, second = (
        json.loads(run(environment, "deploy", str(function), "--json").output) for _ in range(2)
    )
    (function / "more.py").write_text("x = 1\n")
    third = json.loads(run(environment, "deploy", str(function), "--json").output)

    assert (True, False, True) == (first["uploaded"], second["uploaded"], third["uploaded"])
    assert first["message"] == second["message"]
    assert first["message"]["codeSha256"] in first["message"]["s3Key"]
    assert first["message"]["codeSha256"] != third["message"]["codeSha256"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["deploy", "nowhere"], "'nowhere' does not exist"),
        (["deploy", "{empty}"], "holds no file to deploy"),
        (["deploy", "{empty}", "--name", "no spaces"], "cannot be a function's name"),
        (["deploy", "{text}"], "is damaged or no zip archive"),
        (["deploy", "{puzzle}"], "no handler was found"),
        (["deploy"], "Missing argument 'FOLDER|ZIP'"),
        (["invoke", "hello", "--input", "{name: you}"], "Quote it for the shell"),
        (["invoke", "hello", "--input", "@nowhere.json"], "nowhere.json cannot be read"),
        (["invoke", "hello", "--memory", "64"], "128<=x<=10240"),
        (["invoke"], "Missing argument 'FUNCTION'"),
        (["rerun"], "Missing argument 'REQUEST_ID'"),
        (["invok"], "No such command 'invok'"),
    ],
)
def test_wrong_use_says_what_to_do(
    environment: Environment, tmp_path: Path, arguments: list[str], words: str
) -> None:
    """Exit code 2, the mistake, and where to read on; nothing on standard output."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "puzzle").mkdir()
    (tmp_path / "puzzle" / "notes.txt").write_text("no code")
    (tmp_path / "text").write_text("no archive")
    places = {name: str(tmp_path / name) for name in ("empty", "text", "puzzle")}

    done = run_here(environment, *[one.format_map(places) if one[1:-1] in places else one
                              for one in arguments])  # fmt: skip

    assert (2, "") == (done.code, done.output)
    assert words in done.errors
    assert "--help' for help" in done.errors


@pytest.mark.parametrize("columns", [80, 120])
def test_invoke_shows_log_result_profile_and_advice(environment: Environment, columns: int) -> None:
    """In this order, within the terminal's width, and the terminal is left as it was."""
    with Terminal(
        environment, "invoke", "hello", "--input", '{"name": "you"}', columns=columns
    ) as terminal:
        code = terminal.wait()

    order = [
        terminal.text.index(word) for word in ("SUCCESS", "log", "result", "profile", "advice")
    ]
    assert (0, sorted(order)) == (code, order)
    assert "greeting you" in terminal.text
    assert '{"greeting": "Hello, you!", "calls": ' in terminal.text
    assert b"\x1b[32m" in terminal.raw
    assert terminal.is_as_before


def test_input_comes_from_a_file_or_a_pipe(environment: Environment, tmp_path: Path) -> None:
    """As from the command line."""
    event = tmp_path / "event.json"
    event.write_text('{"name": "file"}')

    document = call(environment, "hello", "--input", f"@{event}", "--memory", "256")
    piped = run(environment, "invoke", "hello", "--input", "-", given='{"name": "pipe"}')

    assert "Hello, file!" in str(document["output"])
    assert 256 == document["resources"]["memoryLimitMb"]  # type: ignore[index]
    assert "Hello, pipe!" in piped.output
    assert "\x1b" not in piped.output


def test_no_colour_is_respected(environment: Environment) -> None:
    """NO_COLOR takes the colours away on a terminal, too."""
    with Terminal({**environment, "NO_COLOR": "1"}, "invoke", "broken") as terminal:
        terminal.wait()

    assert "FAILED" in terminal.text
    assert b"\x1b[3" not in terminal.raw


def test_a_failed_function_is_exit_code_1(environment: Environment) -> None:
    """With the error, and where it was raised."""
    with Terminal(environment, "invoke", "broken", "--input", '{"price": 3}') as terminal:
        code = terminal.wait()

    assert 1 == code
    assert "FAILED" in terminal.text
    assert "KeyError: 'quantity'" in terminal.text
    assert "main.py" in terminal.text


def test_many_calls_are_summed_up(environment: Environment) -> None:
    """A bar while they run, which leaves nothing behind; --json prints each document."""
    given = ("invoke", "hello", "--input", '{"name": "you"}', "--count", "12", "--parallel", "4")
    with Terminal(environment, *given) as terminal:
        code = terminal.wait()
    documents = [
        json.loads(line) for line in run(environment, *given, "--json").output.splitlines()
    ]

    assert 0 == code
    assert "12 calls in " in terminal.text
    assert "12 SUCCESS" in terminal.text
    assert "12/12" in terminal.raw.decode()
    assert "12/12" not in terminal.text
    assert terminal.is_as_before
    assert 12 == len({document["requestId"] for document in documents})


def test_ctrl_c_says_how_to_get_the_result(environment: Environment, function: Path) -> None:
    """The call runs on; the command that is named shows its result."""
    assert 0 == run(environment, "deploy", str(function)).code
    with Terminal(environment, "invoke", "sleeper", "--input", "1.5") as terminal:
        terminal.wait_for("0/1")
        terminal.press("\x03")
        code = terminal.wait()
    words = " ".join(terminal.text.split())
    request_id = words.partition("hearth result ")[2].partition("`")[0]
    done = run(environment, "result", request_id, "--wait", "20", "--json")

    assert 130 == code
    assert terminal.is_as_before
    assert ("SUCCESS", 1) == tuple(json.loads(done.output)[one] for one in ("status", "output"))


def test_nobody_answers_in_time(environment: Environment, function: Path) -> None:
    """Exit code 3, and what to do."""
    assert 0 == run(environment, "deploy", str(function)).code

    done = run(environment, "invoke", "sleeper", "--input", "3", "--wait", "0.2")

    assert 3 == done.code
    assert "within 0.2 s" in done.errors
    assert "hearth result sleeper-" in done.errors


def test_a_function_that_was_not_deployed(environment: Environment) -> None:
    """Exit code 1, those that were, and the command that deploys."""
    done = run(environment, "invoke", "nobody")

    assert 1 == done.code
    assert "hello" in done.errors
    assert "hearth deploy FOLDER" in done.errors


def test_a_result_is_found_again(environment: Environment) -> None:
    """In a terminal as it was shown first; an unknown one is exit code 3."""
    request_id = str(call(environment, "hello", "--input", '{"name": "again"}')["requestId"])
    with Terminal(environment, "result", request_id) as terminal:
        code = terminal.wait()
    unknown = run(environment, "result", "req-unknown")

    assert 0 == code
    assert "Hello, again!" in terminal.text
    assert (3, True) == (unknown.code, "hearth tail --request req-unknown" in unknown.errors)


def test_a_rerun_is_compared(environment: Environment) -> None:
    """The same input and archive at another size, both profiles side by side."""
    request_id = str(call(environment, "hello", "--input", '{"name": "once"}')["requestId"])
    given = ("rerun", request_id, "--memory", "512")
    with Terminal(environment, *given) as terminal:
        code = terminal.wait()
    found = json.loads(run(environment, *given, "--json").output)

    assert 0 == code
    line = next(one for one in terminal.text.splitlines() if one.startswith("memory limit"))
    assert ["memory", "limit", "128", "MB", "512", "MB", "changed"] == line.split()
    assert (128, 512) == tuple(found[one]["limits"]["memory_mb"] for one in ("before", "now"))
    assert "Hello, once!" in found["document"]["output"]["greeting"]


def test_a_rerun_of_the_unknown(environment: Environment) -> None:
    """Exit code 1, and where requests are listed."""
    done = run(environment, "rerun", "req-unknown")

    assert (1, True) == (done.code, "hearth tail --since 1h" in done.errors)
