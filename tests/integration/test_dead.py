"""`hearth dead` on a real log: list, show, requeue, purge."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from cli.main import main
from ingest.leases import Leases
from ingest.settle import Settler
from shared.codec import decode
from shared.events import InvocationRequested
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import DEAD, PROFILES, REQUESTS, key
from tests.contract.test_inbox import receive_all
from tests.fakes.memory_queue import MemoryQueue
from tests.fixtures_redis import RedisServer


@pytest.fixture
def letter(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The entry id of one dead letter in the log that the command line sees."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    client.xadd(key(PROFILES, 0), {"event": '{"invocation_id":"req-7","broken":'})
    inbox = RedisInbox(Settings(redis_url=redis_server.url), PROFILES, "a")
    (delivery,) = receive_all(inbox, 1)
    inbox.bury(delivery, "first line\nno event: cut off")
    inbox.flush()
    inbox.close()
    ((entry_id, _),) = client.xrange("{hearth:0}:dead")
    return str(entry_id)


def run(*arguments: str) -> str:
    """What the command prints; it must succeed."""
    result = CliRunner().invoke(main, ["dead", *arguments])
    assert result.exit_code == 0, result.output
    return str(result.output)


def test_list(letter: str) -> None:
    """One line a letter, with its age and the last line of the reason; or JSON for programs."""
    words = run("list").split()
    assert words[:1] + words[2:] == [letter, "tuner", "profiles", "-", "no", "event:", "cut", "off"]
    assert re.fullmatch(r"\d+s", words[1])
    row = json.loads(run("list", "--json"))
    assert (letter, "tuner", "profiles", 1, None) == tuple(
        row[name] for name in ("id", "stage", "stream", "attempts", "requeuedAs")
    )


def test_show(letter: str) -> None:
    """The whole reason and the bytes."""
    shown = run("show", letter)

    assert "first line\nno event: cut off\n" in shown
    assert '{"invocation_id":"req-7","broken":' in shown


def test_requeue(letter: str, redis_server: RedisServer) -> None:
    """The bytes are appended to their stream again; the letter stays as history."""
    row = json.loads(run("requeue", letter, "--json"))

    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    assert row["outcome"] == "new"
    ((found, fields),) = client.xrange(key(PROFILES, 0), row["entryId"], row["entryId"])
    assert (found, fields["event"]) == (row["entryId"], '{"invocation_id":"req-7","broken":')
    assert client.xlen("{hearth:0}:dead") == 1
    assert json.loads(run("list", "--json"))["requeuedAs"] == row["entryId"]


def test_requeued_twice_is_appended_once(letter: str, redis_server: RedisServer) -> None:
    """The second time nothing is done, and that is no mistake."""
    first = json.loads(run("requeue", letter, "--json"))
    second = json.loads(run("requeue", letter, "--json"))

    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    assert client.xlen(key(PROFILES, 0)) == 2  # what was buried, and once more
    assert (second["outcome"], second["entryId"]) == ("again", first["entryId"])


def test_letters_are_chosen_by_what_is_true_of_them(letter: str) -> None:
    """Stage, reason, function and age, for every command; nothing said is refused."""
    for options in (["--stage", "tuner"], ["--reason", "CUT OFF"], ["--newer-than", "1h"]):
        assert letter in run("list", *options)
    for options in (["--stage", "executor"], ["--reason", "other"], ["--older-than", "1h"],
                    ["--function", "f"]):  # fmt: skip
        assert run("list", *options) == ""
    for command in ("requeue", "purge"):
        unsaid = CliRunner().invoke(main, ["dead", command])
        assert (unsaid.exit_code, "--stage" in unsaid.output) == (2, True)
    wrong = CliRunner().invoke(main, ["dead", "list", "--older-than", "soon"])
    assert (wrong.exit_code, "30s, 15m, 2h or 7d" in wrong.output) == (2, True)


BODY = {"functionId": "f", "runtime": "python", "s3Key": "f.zip"}


@pytest.fixture
def message(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a buried SQS message that is no JSON object."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    log = Log(redis_server.url)
    log.bury_message("ingest", json.dumps([BODY]).encode(), "not a JSON object", "message-1")
    log.close()
    settle_dead(redis_server)
    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    ((entry_id, _),) = client.xrange("{hearth:0}:dead")
    return str(entry_id)


def settle_dead(server: RedisServer) -> None:
    """What ingest does with the dead stream."""
    settings = Settings(redis_url=server.url)
    inbox = RedisInbox(settings, DEAD, "ingest")
    log = Log(server.url)
    Settler(inbox, MemoryQueue(), log, Leases(60), settings).run_once(100)
    inbox.close()
    log.close()


def test_a_buried_message_goes_back_mended(
    message: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """As a request, once; its message id names it, and no right to send to SQS is needed."""
    refused = CliRunner().invoke(main, ["dead", "requeue", message])
    assert (refused.exit_code, "--body FILE" in refused.output) == (1, True)
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps(BODY))

    outcomes = [
        json.loads(run("requeue", message, "--body", str(mended), "--json"))["outcome"]
        for _ in range(2)
    ]

    assert outcomes == ["new", "again"]
    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    ((_, fields),) = client.xrange(key(REQUESTS, 0))
    event = decode(fields["event"].encode())
    assert isinstance(event, InvocationRequested)
    assert (event.invocation_id, event.function_id) == ("message-1", "f")
    assert client.hget("{hearth:0}:accepted:message-1", "state") == "in_flight"


def test_a_request_that_is_known_does_not_run_again(
    message: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Where the mended message names a request that has its result, or is under way."""
    log = Log(redis_server.url)
    log.settle([("req-1", "f")], 60)
    mended = tmp_path / "mended.json"
    mended.write_text(json.dumps({**BODY, "requestId": "req-1"}))

    known = CliRunner().invoke(main, ["dead", "requeue", message, "--body", str(mended)])

    assert (known.exit_code, "another requestId" in known.output) == (1, True)
    assert log.backlog(REQUESTS) == 0
    log.close()


def test_what_was_cut_off_cannot_go_back(redis_server: RedisServer, message: str) -> None:
    """Half a message is not run; the command says where the whole may come from."""
    log = Log(redis_server.url)
    log.bury_message("ingest", b"x" * 200_000, "not JSON", "message-2")
    log.close()
    cut = json.loads(run("list", "--json", "--reason", "not JSON").splitlines()[-1])

    refused = CliRunner().invoke(main, ["dead", "requeue", cut["id"]])

    assert message != cut["id"]
    assert cut["payloadBytes"] == 200_000
    assert (refused.exit_code, "180000 of 200000 bytes" in refused.output) == (1, True)


def test_purge_asks(message: str) -> None:
    """Without a yes nothing is deleted; with one the letter is gone, and the others stay."""
    for answer in ("n\n", ""):
        assert CliRunner().invoke(main, ["dead", "purge", message], input=answer).exit_code == 1
    assert message in run("list")

    assert "1 deleted" in run("purge", message, "--yes")
    assert run("list") == ""


def test_purge_waits_for_ingest(letter: str) -> None:
    """A letter whose SQS message is not settled stays: nobody would delete that any more."""
    early = CliRunner().invoke(main, ["dead", "purge", "--stage", "tuner", "--yes"])

    assert (early.exit_code, "Start ingest" in early.output) == (1, True)
    assert letter in run("list")


def test_purge_of_what_is_settled_by_a_filter(message: str) -> None:
    """All that the options describe, and nothing else."""
    assert "nothing was deleted" in run("purge", "--stage", "tuner", "--yes")
    assert "1 deleted" in run("purge", "--stage", "ingest", "--yes")
    assert message not in run("list")


def test_an_unknown_letter_and_an_absent_redis_are_said_in_words(
    letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors name the cause and the next step, without a traceback."""
    unknown = CliRunner().invoke(main, ["dead", "show", "1-1"])
    assert (unknown.exit_code, "hearth dead list" in unknown.output) == (1, True)
    assert letter
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    for command in (["list"], ["show", letter], ["requeue", letter], ["purge", letter, "--yes"]):
        absent = CliRunner().invoke(main, ["dead", *command])
        assert (absent.exit_code, "Redis does not answer" in absent.output) == (3, True)


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in .env stops a command before it starts."""
    monkeypatch.setenv("REDIS_PORT", "six")

    result = CliRunner().invoke(main, ["dead", "list"])

    assert result.exit_code == 2
    assert "REDIS_PORT" in result.output
