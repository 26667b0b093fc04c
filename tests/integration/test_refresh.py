"""Cost models folded anew from all history, and a tuner that goes on from them."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from msgspec.structs import replace

from cli.main import main
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import MODELS, PROFILES, RECOMMENDATIONS, key
from tests.fixtures_redis import RedisServer
from tests.integration.test_history import make_ordered, write_archive
from tests.unit.test_tuner import make_event
from tuner import process
from tuner.leader import restore
from tuner.refresh import read_models
from tuner.replay_schedule import STAGE, ReplayCronError, ReplayRunningError, refresh, run
from tuner.stage import Tuner
from tuner.state import save


def handle_all(settings: Settings, tuner: Tuner, count: int) -> None:
    """The tuner's group handles so many entries."""
    inbox = RedisInbox(settings, PROFILES, "tuner-1")
    stage = Stage("tuner", tuner.handle, batch_max=10)
    while count > 0:
        count -= run_once(stage, inbox, 1_000)
    inbox.flush()
    inbox.close()


@pytest.fixture
def settings(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    return Settings(redis_url=redis_server.url)


def test_a_tuner_goes_on_from_refreshed_models(settings: Settings, tmp_path: Path) -> None:
    """With the archive, a trimmed stream and later events it knows what it would from zero."""
    history = make_ordered(600)
    log, client = Log(settings.redis_address), redis.Redis.from_url(settings.redis_address)
    settings = Settings(
        redis_url=settings.redis_url, archive_dir=str(write_archive(tmp_path / "a", history[:300]))
    )
    steady = Tuner()
    for event in history[:300]:
        steady.restore(event)  # archived and trimmed already
    for event in history[300:400]:
        log.append(event, partition=0)
    handle_all(settings, steady, 100)
    told: list[int] = []
    count = refresh(settings, told.append)
    client.xtrim(key(PROFILES, 0), maxlen=20)
    for event in history[400:]:
        log.append(event, partition=0)
    handle_all(settings, steady, 200)

    fresh = Tuner()
    assert 200 == restore(fresh, log, 0)
    assert steady.save() == fresh.save()
    assert count == len(read_models(log, 0))
    assert 400 == told[-1]
    log.close()


def test_only_what_is_handled_is_folded(settings: Settings) -> None:
    """Entries that the tuner has yet to handle are not in the models: they would count twice."""
    log = Log(settings.redis_address)
    for number in range(10):
        log.append(make_event(number), partition=0)
    handle_all(settings, Tuner(), 10)
    inbox = RedisInbox(settings, PROFILES, "tuner-2")
    log.append(make_event(10), partition=0)
    log.append(make_event(11), partition=0)
    assert inbox.receive(1, 1_000)
    refresh(settings)

    assert 10 == read_models(log, 0)["thumb"].invocation_count
    assert log.settled_until(PROFILES, 0) == read_models(log, 0)["thumb"].until_entry
    inbox.close()
    log.close()


def test_one_replay_at_a_time(settings: Settings) -> None:
    """A second one says so and changes nothing; the command too."""
    log = Log(settings.redis_address)
    assert log.lead(STAGE, "another", 5_000)

    with pytest.raises(ReplayRunningError):
        refresh(settings)
    assert CliRunner().invoke(main, ["refresh"]).exit_code == 1
    log.resign(STAGE, "another")
    assert "0 functions refreshed" in CliRunner().invoke(main, ["refresh"]).output
    log.close()


def test_a_running_tuner_picks_the_models_up(settings: Settings) -> None:
    """Without a restart: what only the archive knew is in its next advice."""
    settings = Settings(redis_url=settings.redis_url, lead_ttl_ms=600)
    log, stop = Log(settings.redis_address), threading.Event()
    client: Any = redis.Redis.from_url(settings.redis_address)
    thread = threading.Thread(target=process.run, args=(settings, stop))
    thread.start()
    log.append(make_event(0), partition=0)
    wait_for(lambda: client.xlen(key(RECOMMENDATIONS, 0)) == 1)
    tuner = Tuner()
    for number in range(30):
        tuner.restore(make_event(number))
    refresh(settings)
    model = read_models(log, 0)["thumb"]
    known = tuner.state_of("thumb")
    log.append(replace(model, state=save(known), invocation_count=30), partition=0)
    time.sleep(1.0)  # two renewals of the lead
    log.append(make_event(30), partition=0)
    wait_for(lambda: client.xlen(key(RECOMMENDATIONS, 0)) == 2)
    stop.set()
    thread.join()
    ((_, fields),) = client.xrevrange(key(RECOMMENDATIONS, 0), count=1)

    assert b'"invocation_count":31' in fields[b"event"]
    assert 2 == client.xlen(key(MODELS, 0))
    log.close()


def test_the_schedule_says_what_is_wrong_with_it(settings: Settings) -> None:
    """A cron expression that cannot be read ends the process with words."""
    wrong = Settings(redis_url=settings.redis_url, replay_cron="every day")

    with pytest.raises(ReplayCronError, match="REPLAY_CRON"):
        run(wrong, threading.Event())
    stop = threading.Event()
    stop.set()
    run(settings, stop)


def wait_for(condition: Any) -> None:
    """Until it holds, for a while."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
