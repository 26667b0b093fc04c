"""`hearth tail`, `top`, `doctor`, and what reads history: in a terminal, with --json."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
import redis

from cli.main import COMMANDS
from shared.settings import load
from tests.cli.terminal import Terminal, run, run_here

Environment = Mapping[str, str]
HISTORY = ("report hello", "backtest", "replay --policy cost", "whatif --memory 512", "ledger")


def test_tail_follows(environment: Environment) -> None:
    """What happens after it was started, until Ctrl-C; what is filtered out does not show."""
    with Terminal(environment, "tail", "--function", "hello", columns=120) as terminal:
        for _ in range(3):  # it may not listen yet at the first
            run(environment, "invoke", "broken")
            run(environment, "invoke", "hello", "--input", '{"name": "tail"}')
            if "InvocationFinished" in terminal.look():
                break
        shown = terminal.wait_for("InvocationFinished")
        terminal.press("\x03")
        code = terminal.wait()

    assert 0 == code
    assert "broken" not in shown
    assert terminal.is_as_before


def test_tail_filters(environment: Environment) -> None:
    """By stream, outcome and request; every line is an event of its own."""
    failed = run(environment, "tail", "--no-follow", "--outcome", "failed", "--json",
                 "--stream", "executions", "--since", "1h")  # fmt: skip
    rows = [json.loads(line) for line in failed.output.splitlines()]
    request_id = rows[0]["event"]["invocation_id"]
    life = run(environment, "tail", "--no-follow", "--request", request_id)

    assert {("executions", "broken")} == {
        (row["stream"], row["event"]["execution"]["function_id"]) for row in rows
    }
    kinds = [line.split()[1] for line in life.output.splitlines()]
    assert ["Requested", "Finished", "Profiled", "Tuned"] == [
        kind.removeprefix("Invocation") for kind in kinds if kind.startswith("Invocation")
    ]
    assert "ResultPublished" == kinds[-1]
    assert "\x1b" not in life.output


def test_tail_used_wrongly(environment: Environment) -> None:
    """The streams there are; the moments that can be said."""
    stream, moment = (
        run_here(environment, "tail", "--stream", "nowhere"),
        run_here(environment, "tail", "--since", "yesterday"),
    )

    assert (2, True) == (stream.code, "'executions'" in stream.errors)
    assert (2, True) == (moment.code, "such as 90s, 10m, 2h or 7d" in moment.errors)


@pytest.mark.parametrize("columns", [80, 120])
def test_top_is_live_and_leaves_the_terminal_clean(environment: Environment, columns: int) -> None:
    """A line a function; `q` gives the other screen, the cursor and the modes back."""
    with Terminal(environment, "top", columns=columns) as terminal:
        terminal.wait_for("hello")
        before = terminal.text
        run(environment, "invoke", "hello", "--input", '{"name": "top"}')
        terminal.wait_for("peak/limit MB")
        terminal.press("q")
        code = terminal.wait()

    assert 0 == code
    assert all(len(line) <= columns for line in before.splitlines())
    assert "cold %" in before
    assert terminal.raw.rindex(b"\x1b[?1049l") > terminal.raw.rindex(b"\x1b[?1049h")
    assert terminal.is_as_before


def test_top_once(environment: Environment) -> None:
    """For programs and pipes."""
    rows = {row["function"]: row for row in json.loads(run(environment, "top", "--json").output)}
    with Terminal(environment, "top", "--once") as terminal:
        code = terminal.wait()

    assert (0, True) == (code, "hello" in terminal.text)
    assert rows["broken"]["errors"] == rows["broken"]["calls"]
    assert rows["hello"]["p50_ms"] > 0
    assert 128 == rows["hello"]["advised_mb"]
    assert "hello" in run(environment, "top").output


def test_top_ends_with_ctrl_c(environment: Environment) -> None:
    """As with q."""
    with Terminal(environment, "top") as terminal:
        terminal.wait_for("hearth top")
        terminal.press("\x03")

        assert 0 == terminal.wait()
        assert terminal.is_as_before


def test_doctor_finds_a_running_stack_well(environment: Environment) -> None:
    """A line for each part, folded at the terminal's width."""
    with Terminal(environment, "doctor") as terminal:
        code = terminal.wait()

    assert 0 == code, terminal.text
    assert "problem" not in terminal.text
    for subject in ("Redis file", "queue", "bucket hearth-code", "measuring", "stage tuner"):
        assert subject in terminal.text


def test_doctor_says_how_to_mend(environment: Environment) -> None:
    """Every problem has a next step; the exit code tells that there is one."""
    absent = {**environment, "LOCAL_AWS_PORT": "1", "REDIS_URL": "redis://127.0.0.1:1/0"}

    done = run(absent, "doctor", "--json")

    checks = {check["subject"]: check for check in json.loads(done.output)}
    assert 1 == done.code
    for subject in ("Redis", "queue", "bucket hearth-output"):
        assert ("problem", True) == (checks[subject]["level"], bool(checks[subject]["mend"]))


@pytest.mark.parametrize("command", HISTORY)
def test_history_in_a_terminal_and_as_json(environment: Environment, command: str) -> None:
    """No line is longer than the terminal; the JSON is of the same functions."""
    with Terminal(environment, *command.split()) as terminal:
        code = terminal.wait()
    done = run(environment, *command.split(), "--json")

    assert (0, 0) == (code, done.code), terminal.text
    assert "hello" in terminal.text or command == "ledger"
    assert json.loads(done.output) is not None


def test_profile_in_a_terminal_and_as_json(environment: Environment) -> None:
    """Of the newest call."""
    tail = run(environment, "tail", "--no-follow", "--stream", "executions", "--function", "hello",
               "--outcome", "succeeded", "--json")  # fmt: skip
    request_id = json.loads(tail.output.splitlines()[-1])["event"]["invocation_id"]
    with Terminal(environment, "profile", request_id) as terminal:
        code = terminal.wait()
    found = json.loads(run(environment, "profile", request_id, "--json").output)

    assert (0, True) == (code, "on CPU" in terminal.text)
    assert ("hello", request_id) == (found["function_id"], found["request_id"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["report", "nobody"], 1, "hearth invoke nobody"),
        (["report"], 2, "Missing argument 'FUNCTION'"),
        (["profile", "req-unknown"], 1, "hearth result req-unknown"),
        (["replay", "--policy", "latency"], 2, "--latency-ms-max MILLISECONDS"),
        (["whatif", "--price-book", "nowhere"], 2, "lambda-x86-REGION"),
        (["backtest", "--archive", "nowhere"], 1, "stream=... folders"),
        (["completion", "tcsh"], 2, "'bash', 'zsh', 'fish'"),
        (["top", "--window", "0"], 2, "1<=x<=86400"),
    ],
)
def test_wrong_use_says_what_to_do(
    environment: Environment, arguments: list[str], code: int, words: str
) -> None:
    """Never a traceback."""
    done = run_here(environment, *arguments)

    assert (code, "") == (done.code, done.output)
    assert words in done.errors
    assert "Traceback" not in done.errors


@pytest.mark.parametrize("command", ["top", "tail", "report hello", "invoke hello", "result x"])
def test_an_absent_platform_is_exit_code_3(environment: Environment, command: str) -> None:
    """With the cause and the next step."""
    absent = {**environment, "LOCAL_AWS_PORT": "1", "REDIS_URL": "redis://127.0.0.1:1/0"}

    done = run_here(absent, *command.split())

    assert (3, True) == (done.code, "hearth doctor" in done.errors)


def test_a_wrong_setting_is_exit_code_2(environment: Environment) -> None:
    """It names the setting."""
    done = run_here({**environment, "LOG_LEVEL": "LOUD"}, "top")

    assert (2, True) == (done.code, "LOG_LEVEL" in done.errors)


def test_refresh(environment: Environment) -> None:
    """In a terminal and as JSON."""
    with Terminal(environment, "refresh") as terminal:
        code = terminal.wait()
    done = run(environment, "refresh", "--json")

    assert (0, True) == (code, "functions refreshed" in terminal.text)
    assert json.loads(done.output)["functions"] >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(environment: Environment, command: str) -> None:
    """And says it has --json, where it shows something."""
    done = run_here(environment, command, "--help")

    assert (0, True) == (done.code, f"Usage: hearth {command}" in done.output)
    assert "Examples:" in done.output or command == "dead"
    assert "--json" in done.output or command in ("dead", "completion")


def test_help_in_a_terminal(environment: Environment) -> None:
    """The commands and the exit codes, at 80 columns."""
    with Terminal(environment, "--help") as terminal:
        code = terminal.wait()

    assert (0, True) == (code, "Usage: hearth" in terminal.text)
    assert "3 the platform does not answer" in " ".join(terminal.text.split())
    assert all(f"\n  {command} " in terminal.text for command in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(environment: Environment, shell: str) -> None:
    """The script asks `hearth` itself what could follow."""
    script = run_here(environment, "completion", shell)
    word = "inv" if shell == "fish" else "1"
    asked = {"_HEARTH_COMPLETE": f"{shell}_complete", "COMP_WORDS": "hearth inv"}
    found = run_here({**environment, **asked, "COMP_CWORD": word})

    assert (0, True) == (script.code, "_HEARTH_COMPLETE" in script.output)
    assert "invoke" in found.output


def test_the_stack_is_found_from_any_folder(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By the port of the embedded Redis, where its socket is not in this folder."""
    elsewhere = {**environment, "STATE_DIR": str(tmp_path_factory.mktemp("elsewhere"))}

    assert "hello" in run(elsewhere, "top").output


def test_dead_letters(environment: Environment) -> None:
    """Listed, shown and purged, in a terminal and as JSON."""
    client: Any = redis.Redis.from_url(load(environment).redis_address)
    client.xadd("{hearth:0}:requests", {"event": "no event"})
    rows: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while not rows:
        assert time.monotonic() < deadline, "it was not buried"
        listed = run(environment, "dead", "list", "--stage", "executor", "--json")
        rows = [json.loads(line) for line in listed.output.splitlines()]
    name = rows[0]["id"]

    with Terminal(environment, "dead", "list", columns=120) as terminal:
        assert "executor" in terminal.wait_for(name)
        assert 0 == terminal.wait()
    with Terminal(environment, "dead", "show", name, columns=120) as terminal:
        assert "requests" in terminal.wait_for("no event")
        assert 0 == terminal.wait()
    with Terminal(environment, "dead", "requeue", "--body", "nowhere", name) as terminal:
        terminal.wait_for("does not exist")
        assert 2 == terminal.wait()
    with Terminal(environment, "dead", "purge", name) as terminal:  # it asks
        terminal.wait_for("?")
        terminal.press("n\n")
        assert 1 == terminal.wait()


def test_completion_in_a_terminal(environment: Environment) -> None:
    """What a shell is told to source."""
    with Terminal(environment, "completion", "bash") as terminal:
        terminal.wait_for("_hearth_completion")
        assert 0 == terminal.wait()
