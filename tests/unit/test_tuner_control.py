"""Changes that the tuner makes itself, and takes back; the ledger of all changes."""

from typing import Any

import msgspec
import pytest

from shared.events import InvocationProfiled, MemoryLimitChanged, Outcome
from tests.unit.test_tuner import grant, make_event
from tuner.control import Rules
from tuner.facts import read_facts
from tuner.ledger import read_ledger
from tuner.stage import Tuner

MINUTE_MS = 60_000


class Host:
    """A function that takes the tuner's limit, as an executor would grant it."""

    def __init__(self, memory_mb: int = 512, rules: Rules | None = None) -> None:
        self.tuner = Tuner(rules=rules) if rules else Tuner()
        self.memory_mb = memory_mb
        self.changes: list[MemoryLimitChanged] = []
        self.history: list[InvocationProfiled] = []

    def run(self, count: int = 1, **changes: Any) -> None:
        """So many invocations at the limit in force."""
        for _ in range(count):
            number = len(self.history)
            event = make_event(
                number,
                limits=grant(self.memory_mb),
                at_ms=number * MINUTE_MS,
                **{"memory_auto": True, **changes},
            )
            self.history.append(event)
            _, *changed = self.tuner.handle(event)
            self.changes += changed
            for change in changed:
                self.memory_mb = change.to_mb


def test_firm_advice_is_followed_once() -> None:
    """From the twentieth run on, with what is predicted; then there is nothing more to do."""
    host = Host()
    host.run(60)

    (change,) = host.changes
    assert (512, 128, "advice", 75.0) == (
        change.from_mb, change.to_mb, change.action, change.savings_percent,
    )  # fmt: skip
    assert "req-19" == change.invocation_id
    assert "profiled-19" == change.causation_id


def test_only_functions_that_ask_are_changed() -> None:
    """A size in the message is the sender's."""
    host = Host()
    host.run(40, memory_auto=False)

    assert [] == host.changes


def test_a_change_that_slows_the_function_is_rolled_back() -> None:
    """Within twenty invocations, and the size is not tried again that day."""
    host = Host()
    host.run(20)
    assert 128 == host.memory_mb
    host.run(20, run_ms=1_900, cpu_ms=5)

    assert ["advice", "roll_back"] == [change.action for change in host.changes]
    assert 512 == host.memory_mb
    assert host.changes[1].reason.startswith("1900.0 ms a call")
    host.run(100)
    assert 2 == len(host.changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"peak_mb": 115}, "peak 115 MB of 128 MB"),
     ({"outcome": Outcome.OUT_OF_MEMORY}, "ran out of memory at 128 MB")],
)  # fmt: skip
def test_a_change_that_leaves_too_little_memory_is_rolled_back(
    changes: dict[str, Any], reason: str
) -> None:
    """At once: at the first call that comes near to the limit."""
    host = Host()
    host.run(20)
    host.run(1, **changes)

    assert (512, "roll_back", reason) == (
        host.memory_mb, host.changes[1].action, host.changes[1].reason,
    )  # fmt: skip


def test_a_lack_of_memory_waits_for_nothing() -> None:
    """More is granted after the first run that ran out."""
    host = Host(128)
    host.run(1, outcome=Outcome.OUT_OF_MEMORY, peak_mb=127)

    assert ["safety"] == [change.action for change in host.changes]
    assert host.memory_mb >= 228


def test_the_budget_is_kept() -> None:
    """Three changes a day, whatever the advice."""
    host = Host(2_048, Rules(rest_runs=1, watch_runs=1, gain_percent_min=-1e9))
    for n in range(120):
        host.run(1, run_ms=400, cpu_ms=n, peak_mb=20 + n * 3)

    advised = [change for change in host.changes if change.action == "advice"]
    assert len(advised) <= 3


def test_calls_of_the_old_size_tell_nothing_about_the_new() -> None:
    """What began before the change is not held against it."""
    host = Host()
    host.run(20)
    host.memory_mb = 512
    host.run(10, run_ms=9_000)

    assert 1 == len(host.changes)


def test_control_is_part_of_the_history() -> None:
    """A tuner that is restored anywhere makes the same changes; so does a saved one."""
    host = Host()
    host.run(20)
    host.run(20, run_ms=1_900, cpu_ms=5)
    for split in (5, 19, 20, 30):
        restored, resumed = Tuner(), Tuner()
        for event in host.history[:split]:
            restored.restore(event)
        resumed.resume(restored.save())
        changes = [
            (one, other)
            for event in host.history[split:]
            for one, other in zip(
                restored.handle(event)[1:], resumed.handle(event)[1:], strict=True
            )
        ]
        expected = [one for one in host.changes if int(one.invocation_id[4:]) >= split]
        assert [(one, one) for one in expected] == changes
        assert restored.save() == resumed.save() == host.tuner.save()


def test_the_ledger_shows_what_a_change_was_worth() -> None:
    """75 % were predicted and realised; a roll-back shows as a change that costs."""
    host = Host()
    host.run(40)
    host.memory_mb = 512
    host.run(10, memory_auto=False)
    changes = list(read_ledger(("thumb", read_facts(event)) for event in host.history))

    assert [(512, 128, 75.0, 75.0), (128, 512, -300.0, -300.0)] == [
        (one.from_mb, one.to_mb, one.predicted_percent, one.realised_percent) for one in changes
    ]
    saved_usd = 0.450 * 384 / 1024 * 0.000_016_666_7
    assert pytest.approx(20 * saved_usd) == changes[0].saved_usd
    assert (20, 450_000, 450_000, 0) == changes[0][6:7] + changes[0][8:]


def test_a_change_with_too_few_runs_is_not_judged() -> None:
    """Nothing is called realised on a handful of calls."""
    events = [make_event(n, limits=grant(512 if n < 10 else 256)) for n in range(12)]
    (change,) = read_ledger(("thumb", read_facts(event)) for event in events)

    assert (None, 0.0, 2) == (change.realised_percent, change.saved_usd, change.runs_after)
    assert msgspec.json.encode(change._asdict())
