"""`hearth profile` on a real log."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from cli.profile import profile
from profiler.stage import handle
from shared.log import Log
from shared.settings import Settings
from shared.topology import EXECUTIONS
from tests.fixtures_redis import RedisServer
from tests.integration.archiving import acknowledge, make_archiver
from tests.unit.test_profile import load, make_finished


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return Settings(redis_url=redis_server.url)


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(profile, list(arguments), obj=settings)


def test_an_invocation_is_found_and_shown(settings: Settings, tmp_path: Path) -> None:
    """Among others, as text, as JSON and as a picture."""
    log = Log(settings.redis_address, settings.partitions)
    event = make_finished(*load("v1/waiting.txt"))
    for number in range(3):
        log.append(msgspec.structs.replace(event, invocation_id=f"req-{number}"), partition=0)
    picture = tmp_path / "picture.svg"

    text = run(settings, "req-1").output
    found = json.loads(run(settings, "req-1", "--json").output)
    quiet = run(settings, "req-1", "--svg", str(picture))

    assert "req-1 · thumb" in text
    assert "\x1b" not in text
    assert "req-1" == found["request_id"]
    assert 450_000 == pytest.approx(found["profile"]["breakdown"]["waiting_us"], rel=0.05)
    assert found["series"][0]["at_us"] > 200_000
    assert ("", 0) == (quiet.output, quiet.exit_code)
    assert picture.read_text().startswith("<svg")


def test_a_profile_is_enough(settings: Settings) -> None:
    """Where the execution is gone, its profile is shown."""
    log = Log(settings.redis_address, settings.partitions)
    (profiled,) = handle(make_finished(*load("v2-6.12/waiting.txt")))
    log.append(profiled, partition=0)

    assert "req-1 · thumb" in run(settings, "req-1").output


def test_what_was_trimmed_is_found_in_the_archive(settings: Settings, tmp_path: Path) -> None:
    """Raw readings and all, as if it were still in Redis."""
    settings = msgspec.structs.replace(settings, archive_dir=str(tmp_path))
    log = Log(settings.redis_address, settings.partitions)
    event = make_finished(*load("v1/waiting.txt"))
    for number in range(3):
        log.append(msgspec.structs.replace(event, invocation_id=f"req-{number}"), partition=0)
    live = run(settings, "req-1", "--json").output
    archiver = make_archiver(settings.redis_address, tmp_path)
    archiver.run_once()
    acknowledge(settings.redis_address, EXECUTIONS, 3).close()
    archiver.run_once()

    assert "0-0" == log.last_id(EXECUTIONS, 0)
    assert live == run(settings, "req-1", "--json").output
    archiver.retention.close()


def test_an_unknown_invocation_is_told(settings: Settings) -> None:
    """With what may be the reason."""
    result = run(settings, "req-9")

    assert 1 == result.exit_code
    assert "No invocation req-9 in the log" in result.output
