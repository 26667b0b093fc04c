"""`hearth dead` on a real log: list, show, requeue."""

import json
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from cli.main import main
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import PROFILES, key
from tests.contract.test_inbox import receive_all
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
    """One line a letter, with the last line of the reason; or JSON for programs."""
    assert run("list").split() == [letter, "tuner", "profiles", "no", "event:", "cut", "off"]
    row = json.loads(run("list", "--json"))
    assert (letter, "tuner", "profiles", 1) == tuple(
        row[name] for name in ("id", "stage", "stream", "attempts")
    )


def test_show(letter: str) -> None:
    """The whole reason and the bytes."""
    shown = run("show", letter)

    assert "first line\nno event: cut off\n" in shown
    assert '{"invocation_id":"req-7","broken":' in shown


def test_requeue(letter: str, redis_server: RedisServer) -> None:
    """The bytes are appended to their stream again; the letter stays as history."""
    entry_id = run("requeue", letter).strip()

    client: Any = redis.Redis.from_url(redis_server.url, decode_responses=True)
    ((found, fields),) = client.xrange(key(PROFILES, 0), entry_id, entry_id)
    assert (found, fields["event"]) == (entry_id, '{"invocation_id":"req-7","broken":')
    assert client.xlen("{hearth:0}:dead") == 1


def test_an_unknown_letter_and_an_absent_redis_are_said_in_words(
    letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors name the cause and the next step, without a traceback."""
    unknown = CliRunner().invoke(main, ["dead", "show", "1-1"])
    assert (unknown.exit_code, "hearth dead list" in unknown.output) == (1, True)
    assert letter
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    for command in (["list"], ["show", letter], ["requeue", letter]):
        absent = CliRunner().invoke(main, ["dead", *command])
        assert (absent.exit_code, "Redis does not answer" in absent.output) == (3, True)


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in .env stops a command before it starts."""
    monkeypatch.setenv("REDIS_PORT", "six")

    result = CliRunner().invoke(main, ["dead", "list"])

    assert result.exit_code == 2
    assert "REDIS_PORT" in result.output
