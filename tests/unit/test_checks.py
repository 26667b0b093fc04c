"""What the doctor makes of what it sees."""

import json
from typing import Any

import pytest

from cli.check import Level
from cli.checks_of_aws import judge_redrive
from cli.checks_of_host import judge_accuracy
from cli.checks_of_redis import judge_server, judge_stage
from cli.doctor import write_check
from shared.events import Accuracy
from shared.redis_facts import GroupFacts, ServerFacts

WELL = ServerFacts(
    version="7.0.15",
    is_append_only=True,
    fsync="always",
    memory_policy="noeviction",
    memory_used_bytes=1 << 20,
    memory_max_bytes=0,
    clock_ahead_ms=3.0,
    round_trip_ms=0.2,
)
DONE = GroupFacts(lag=0, pending=0, oldest_ms=0)


@pytest.mark.parametrize(
    ("changes", "subject", "level"),
    [
        ({}, "", None),
        ({"version": "6.2.14"}, "Redis", Level.PROBLEM),
        ({"is_append_only": False}, "Redis file", Level.PROBLEM),
        ({"fsync": "everysec"}, "Redis file", Level.WARNING),
        ({"fsync": ""}, "", None),
        ({"memory_policy": "allkeys-lru"}, "Redis memory", Level.PROBLEM),
        ({"clock_ahead_ms": -2_000.0}, "clock", Level.WARNING),
        ({"clock_ahead_ms": -2_000.0, "round_trip_ms": 3_000.0}, "", None),
    ],
)
def test_redis_is_judged(changes: dict[str, Any], subject: str, level: Level | None) -> None:
    """What is wrong is one line, and it says how to mend it; all else is well."""
    checks = list(judge_server(WELL._replace(**changes)))
    wrong = [check for check in checks if check.level is not Level.OK]

    assert ([(subject, level)] if level else []) == [(one.subject, one.level) for one in wrong]
    assert all(check.mend for check in wrong)


@pytest.mark.parametrize(
    ("connected", "group", "level"),
    [
        (1, DONE, Level.OK),
        (0, DONE, Level.PROBLEM),
        (1, GroupFacts(lag=5_000, pending=0, oldest_ms=0), Level.WARNING),
        (1, GroupFacts(lag=0, pending=1, oldest_ms=14_000), Level.OK),
        (1, GroupFacts(lag=0, pending=1, oldest_ms=90_000), Level.WARNING),
    ],
)
def test_stages_are_judged(connected: int, group: GroupFacts, level: Level) -> None:
    """By whether they are connected, how far they are, and whether they look after their work."""
    check = judge_stage("tuner", connected, {"profiles": group}, 15_000)

    assert (level, level is Level.OK) == (check.level, check.mend == "")


def test_redrive_needs_room_for_restarts() -> None:
    """A policy that gives up at the first repetition would drop what merely waited."""
    eager = judge_redrive({"RedrivePolicy": json.dumps({"maxReceiveCount": 1})})
    patient = judge_redrive({"RedrivePolicy": json.dumps({"maxReceiveCount": "5"})})

    assert (Level.WARNING, Level.OK, Level.OK) == (
        eager.level,
        patient.level,
        judge_redrive({}).level,
    )


def test_accuracy_is_told() -> None:
    """What is not exact names what would be."""
    levels = {one: judge_accuracy("cgroup2", one) for one in Accuracy}

    assert Level.OK == levels[Accuracy.EXACT].level
    assert "6.12" in levels[Accuracy.UPPER_BOUND].mend
    assert "root" in judge_accuracy("process", Accuracy.PROCESS_EXACT).mend


def test_a_line_is_folded_at_the_terminal() -> None:
    """Below itself; without a width it is one line."""
    check = judge_stage("tuner", 0, {"profiles": DONE}, 15_000)
    folded = write_check(check, 80)

    assert max(len(line.encode("ascii", "ignore")) for line in folded.splitlines()) <= 100
    assert 2 == len(write_check(check).splitlines())
    assert 2 < len(folded.splitlines())
