"""The simulation on arrivals small enough to count by hand, and what its table promises."""

import json
import sys
from pathlib import Path

import pytest

from bench import pool as bench
from bench.arrivals import Arrival, make_arrivals, read_trace
from bench.pool import Case, Workload, list_cases, simulate
from executor.keep_alive import FixedKeepAlive
from executor.policy import Policy, choose_policy

TEN_MINUTES = Case("fixed", "10 min", Policy(FixedKeepAlive(600_000)))
HEADER = "experiment,client_start_time,client_end_time,aws_duration\n"


def arrive(*seconds: int, name: str = "f", run_s: int = 1, memory_mb: int = 1_024) -> list[Arrival]:
    return [Arrival(s * 1_000, name, run_s * 1_000, memory_mb, 0) for s in seconds]


def test_counts_by_hand() -> None:
    """At 0 cold, idle 1-101, warm; idle 102-702, expired; at 1,000 cold. 100 + 600 s idle."""
    row = simulate(Workload("hand", arrive(0, 101, 1_000)), TEN_MINUTES)

    assert (3, 2, 2) == (row.invocations, row.cold, row.started)
    assert 700.0 == row.wasted_gb_s
    assert 66.667 == row.cold_percent


def test_what_is_idle_in_the_end_is_wasted_up_to_the_last_arrival() -> None:
    """`f` idles from 1 s to 50 s, when `g` comes."""
    row = simulate(Workload("hand", arrive(0) + arrive(50, name="g")), TEN_MINUTES)

    assert 49.0 == row.wasted_gb_s


def test_a_burst_takes_a_sandbox_each_and_the_last_used_first() -> None:
    """Two at once at 0 and 10: no cold start in the second burst; the spare one expires."""
    row = simulate(Workload("burst", arrive(0, 0, 10, 10, 400, 800, 1_200)), TEN_MINUTES)

    assert 2 == row.cold
    # Two idle from 1 to 10; one from 11 to 611 in vain; the other between its uses.
    assert 2 * 9 + 600 + (400 - 11) + 2 * (400 - 1) == row.wasted_gb_s


def test_what_only_teaches_is_not_counted() -> None:
    """Counted from 500 s on: two invocations, one cold, idle from 500 to 702."""
    workload = Workload("half", arrive(0, 101, 1_000, 1_001), count_from_ms=500_000)
    row = simulate(workload, TEN_MINUTES)

    assert (2, 1, 202.0) == (row.invocations, row.cold, row.wasted_gb_s)


def test_a_full_pool_waits_for_an_ending() -> None:
    """Room for one: the second of two waits and is served by the first's sandbox."""
    row = simulate(Workload("full", arrive(0, 0), memory_mb_max=1_024), TEN_MINUTES)

    assert (2, 1, 1) == (row.invocations, row.cold, row.waited)


def test_a_timer_is_met_by_a_sandbox_that_waits_a_little() -> None:
    """Every hour for two days: started ahead it is warm, and wastes less than ten minutes do."""
    workload = Workload("timer", arrive(*range(0, 172_800, 3_600)))
    ahead = simulate(workload, Case("", "", choose_policy("balanced", prewarm=True)))
    fixed = simulate(workload, TEN_MINUTES)

    assert 48 == fixed.cold
    assert ahead.cold <= 5
    assert ahead.wasted_gb_s < fixed.wasted_gb_s


def test_a_function_alone_on_a_host_is_kept() -> None:
    """1 GB every five minutes, which ten minutes would keep warm: the price is found soon."""
    workload = Workload("alone", arrive(*range(0, 86_400, 300)))

    assert simulate(workload, Case("", "", choose_policy("balanced", prewarm=False))).cold <= 3


def test_made_arrivals_are_the_same_each_time() -> None:
    """And in order; another seed makes others."""
    made = make_arrivals(7, functions=20, days=1)

    assert make_arrivals(7, functions=20, days=1) == made == sorted(made)
    assert make_arrivals(8, functions=20, days=1) != made


def test_reads_the_columns_of_the_trace(tmp_path: Path) -> None:
    """Each experiment from its own beginning; without a duration, by the client's clock."""
    file = tmp_path / "arrivals.csv"
    file.write_text(HEADER + "b,1000,1002,500\na,5000.5,5001,\nb,1010,1012,\n")

    assert [
        Arrival(0, "a", 500, 128, 250),
        Arrival(0, "b", 500, 128, 250),
        Arrival(10_000, "b", 2_000, 128, 250),
    ] == read_trace(file)


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.pool", *arguments])
    bench.main()


def test_prints_the_table_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each case, with the figures by name."""
    file = tmp_path / "arrivals.csv"
    file.write_text(HEADER + "a,0,1,\na,60,61,\n")
    run_main(monkeypatch, "--arrivals", str(file), "--json")
    rows = json.loads(capsys.readouterr().out)

    assert len(list_cases()) == len(rows)
    assert {"policy", "setting", "cold_percent", "wasted_gb_s"} <= set(rows[0])


def test_names_what_is_wrong_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "arrivals.csv"
    file.write_text("when\n1\n")
    with pytest.raises(SystemExit):
        run_main(monkeypatch, "--arrivals", str(file))

    assert "client_start_time" in capsys.readouterr().err


def check_default(workload: Workload) -> None:
    base = simulate(workload, TEN_MINUTES)
    for prewarm in (False, True):
        row = simulate(workload, Case("", "", choose_policy("balanced", prewarm=prewarm)), base)
        assert row.cold_ratio < 1
        assert row.wasted_ratio <= 1


def test_the_default_beats_ten_minutes_on_made_arrivals() -> None:
    """Fewer cold starts at no more wasted memory, on a seed that nothing was tuned on."""
    check_default(Workload("made", make_arrivals(3, functions=60)))


def test_the_default_beats_ten_minutes_on_the_aws_trace() -> None:
    """On the hours that nothing was tuned on."""
    if not bench.TRACE.exists():  # in CI too: public data is read, never copied into the project
        pytest.skip("the AWS trace is not beside the project (../shared/data)")
    check_default(Workload("AWS", read_trace(bench.TRACE), bench.TUNED_UNTIL_MS))
