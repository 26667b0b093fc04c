"""History, live from a real Redis and archived as Parquet, and the commands that read it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from shared.events import InvocationProfiled
from shared.log import Log
from tests.fixtures_redis import RedisServer
from tests.unit.test_tuner import events, make_event
from tests.unit.test_tuner_fold import make_history
from tuner.columns import read_frame, to_frame, to_row
from tuner.facts import Facts, has_run, read_facts
from tuner.history import ArchiveHistory, HistoryError, JoinedHistory, LiveHistory, Period
from tuner.stage import Tuner
from tuner.state import EMPTY, FunctionState, apply_facts, save

DAY_MS = 86_400_000


def write_archive(folder: Path, history: Iterable[InvocationProfiled]) -> Path:
    """A folder for a day and a partition, as the archive is laid out."""
    days: dict[str, list[dict[str, Any]]] = {}
    for number, event in enumerate(history):
        date = datetime.fromtimestamp(event.occurred_at_ms / 1_000, UTC).date().isoformat()
        days.setdefault(date, []).append(to_row(f"{event.occurred_at_ms}-{number}", event))
    for date, rows in days.items():
        place = folder / f"date={date}" / "partition=0"
        place.mkdir(parents=True)
        to_frame(rows).write_parquet(place / "part-0.parquet")
    return folder


def fold(history: Iterable[tuple[str, Facts]]) -> dict[str, bytes]:
    """The state of each function as bytes."""
    states: dict[str, FunctionState] = {}
    for function_id, facts in history:
        states[function_id] = apply_facts(states.get(function_id, EMPTY), facts)
    return {function_id: save(state) for function_id, state in states.items()}


def make_ordered(count: int) -> list[InvocationProfiled]:
    return sorted(make_history(count), key=lambda event: event.occurred_at_ms)


@given(history=st.lists(events(), max_size=20))
def test_columns_hold_the_facts_of_events(history: list[InvocationProfiled]) -> None:
    """What the tuner folds is the same out of a table as out of the events."""
    rows = [to_row(f"1-{number}", event) for number, event in enumerate(history)]
    expected = [
        (event.execution.function_id, read_facts(event)) for event in history if has_run(event)
    ]

    assert expected == list(read_frame(to_frame(rows)))


def test_the_archive_gives_the_states_of_the_live_tuner(tmp_path: Path) -> None:
    """To the byte, over many days."""
    history = make_ordered(6_000)
    tuner = Tuner()
    for event in history:
        tuner.restore(event)
    archive = ArchiveHistory(write_archive(tmp_path / "archive", history))
    states = fold(archive.read())

    assert len(list((tmp_path / "archive").glob("date=*"))) > 1
    for function_id, state in states.items():
        assert save(tuner.state_of(function_id)) == state


def test_a_period_is_a_part(tmp_path: Path) -> None:
    """From the first moment to before the last; days outside are not opened."""
    history = make_ordered(6_000)
    archive = ArchiveHistory(write_archive(tmp_path / "archive", history))
    period = Period(DAY_MS // 2, DAY_MS)
    expected = [event.event_id for event in history if period.covers(event.occurred_at_ms)]

    assert expected == [facts.event_id for _, facts in archive.read(period)]


def test_history_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(HistoryError, match="no archive"):
        ArchiveHistory(tmp_path / "absent")


def test_live_and_archived_history_are_one(tmp_path: Path, redis_server: RedisServer) -> None:
    """What is in both is read once; the order is kept."""
    history = make_ordered(300)
    log = Log(redis_server.url)
    for event in history[100:]:
        log.append(event, partition=0)
    archive = ArchiveHistory(write_archive(tmp_path / "archive", history[:200]))
    joined = JoinedHistory(archive, LiveHistory(log, 1))
    expected = [event.event_id for event in history if has_run(event)]

    assert expected[-200:] == [facts.event_id for _, facts in LiveHistory(log, 1).read()][-200:]
    assert expected == [facts.event_id for _, facts in joined.read()]
    log.close()


@pytest.fixture
def log_with_history(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting function of 512 MB and forty others in the log that the command line sees."""
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    log = Log(redis_server.url)
    for number in range(50):
        log.append(make_event(number, at_ms=number * 3_600_000), partition=0)
    for event in make_history(400):
        log.append(event, partition=0)
    log.close()


def run(*arguments: str) -> str:
    """What the command prints; it must succeed."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return str(result.output)


@pytest.mark.usefixtures("log_with_history")
def test_report(tmp_path: Path) -> None:
    """In the terminal, as JSON and as a picture that is XML."""
    picture = tmp_path / "thumb.svg"
    text = run("report", "thumb", "--svg", str(picture))
    report = json.loads(run("report", "thumb", "--json"))

    assert "advised 128 MB" in text
    assert (128, 75.0, "high") == tuple(
        report[name] for name in ("memory_mb", "savings_percent", "confidence")
    )
    assert [512] == [point["memory_mb"] for point in report["seen"]]
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")  # noqa: S314
    assert CliRunner().invoke(main, ["report", "nobody"]).exit_code == 1


@pytest.mark.usefixtures("log_with_history")
def test_backtest() -> None:
    """A row a function and one for all; nothing below a size that ran out of memory."""
    rows = json.loads(run("backtest", "--json"))
    by_name = {row["function"]: row for row in rows}

    assert "all" == rows[-1]["function"]
    assert 450 == by_name["all"]["invocations"]
    assert 0 == by_name["all"]["below_out_of_memory"]
    assert (100.0, 0.0, 0) == tuple(
        by_name["thumb"][name] for name in ("covered_percent", "error_percent", "violations")
    )
    assert "thumb" in run("backtest")


@pytest.mark.usefixtures("log_with_history")
def test_replay() -> None:
    """Old against new with a total; a policy that needs a ceiling asks for it."""
    rows = json.loads(run("replay", "--policy", "cost", "--json"))
    thumb = next(row for row in rows if row["function_id"] == "thumb")

    assert (512, 128, 128, 0) == tuple(
        thumb[name] for name in ("memory_mb", "old_mb", "new_mb", "short")
    )
    assert thumb["as_run_usd"] > thumb["new_usd"]
    total = sum(row["new_usd"] for row in rows[:-1])
    assert rows[-1]["new_usd"] == pytest.approx(total, abs=1e-4)
    assert CliRunner().invoke(main, ["replay", "--policy", "latency"]).exit_code == 2
    assert "thumb" in run("replay", "--latency-ms-max", "500")


@pytest.mark.usefixtures("log_with_history")
def test_what_if() -> None:
    """The bill at a quarter of the memory; a fifth less on the other architecture."""
    smaller = json.loads(run("whatif", "--memory", "128", "--json"))
    arm = json.loads(run("whatif", "--arch", "arm64", "--json"))
    thumb, on_arm = (
        next(row for row in rows if row["function_id"] == "thumb") for rows in (smaller, arm)
    )
    fee = 50 * 0.000_000_2

    assert 0.25 == pytest.approx((thumb["what_if_usd"] - fee) / (thumb["as_run_usd"] - fee))
    assert 0.8 == pytest.approx(
        (on_arm["what_if_usd"] - fee) / (on_arm["as_run_usd"] - fee), rel=1e-4
    )
    assert CliRunner().invoke(main, ["whatif", "--price-book", "nowhere"]).exit_code == 2
