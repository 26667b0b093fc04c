"""The tuner's states: folded from events, equal however they came about."""

import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.writing import write_stretch
from shared.archive import FolderArchive
from shared.codec import encode
from shared.events import InvocationProfiled, Outcome, Start
from shared.stretch import START, Bounds
from shared.topology import PROFILES
from tests.unit.test_tuner import MIB, events, grant, make_event
from tuner import histogram
from tuner.accumulator import Accumulator
from tuner.facts import has_run, read_facts
from tuner.histogram import BOUNDS_KIB, DAY_MS, DAYS_MAX
from tuner.history import ArchiveHistory
from tuner.inputs import InputSums, add_input, fit_peak, fit_run, merge_inputs
from tuner.leak import SANDBOXES_MAX, Track, find_leak, follow
from tuner.refresh import fold_states
from tuner.samples import BOUNDS_US, Sums, add_run, estimate_run_percentile_us, merge_sums
from tuner.stage import Tuner
from tuner.state import EMPTY, apply, apply_facts, fold, resume, save

Needs = st.lists(
    st.tuples(st.integers(0, 40 * DAY_MS), st.integers(0, 12 << 30)), min_size=1, max_size=40
)
Runs = st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=40)


def make_days(needs: list[tuple[int, int]]) -> histogram.Days:
    days: histogram.Days = ()
    for at_ms, need_bytes in needs:
        days = histogram.add(days, at_ms, need_bytes)
    return days


def make_sums(runs: list[tuple[int, int]]) -> Sums:
    sums = Sums()
    for run_us, cpu_us in runs:
        sums = add_run(sums, run_us, 0, (cpu_us, 0))
    return sums


@given(needs=Needs, seed=st.integers(0, 9), split=st.integers(0, 40))
def test_demand_may_come_in_any_order_and_in_parts(
    needs: list[tuple[int, int]], seed: int, split: int
) -> None:
    """The same bytes in any order, and from any two parts merged either way."""
    shuffled = list(needs)
    random.Random(seed).shuffle(shuffled)
    one, other = make_days(needs[:split]), make_days(needs[split:])
    expected = msgspec.json.encode(make_days(needs))

    assert expected == msgspec.json.encode(make_days(shuffled))
    assert expected == msgspec.json.encode(histogram.merge(one, other))
    assert expected == msgspec.json.encode(histogram.merge(other, one))


def test_demand_fades() -> None:
    """A day is worth half of the next; a peak is forgotten when its day is."""
    days = make_days([(0, 900 * MIB), (DAY_MS, 100 * MIB), (DAY_MS, 100 * MIB)])

    assert 900 * MIB == histogram.find_peak_bytes(days)
    assert histogram.estimate_percentile_bytes(days, 800) < 106 * MIB
    assert 900 * MIB == histogram.estimate_percentile_bytes(days, 900)
    later = histogram.add(days, DAYS_MAX * DAY_MS, 1)
    assert 100 * MIB == histogram.find_peak_bytes(later)


def test_percentiles_are_ends_of_buckets() -> None:
    """At most 5 % too high, never above the peak, never too low."""
    days = make_days([(0, n * MIB) for n in range(10, 1_000)])

    for permille in (50, 500, 900, 990):
        exact = (10 + 990 * permille // 1000) * MIB
        assert exact <= histogram.estimate_percentile_bytes(days, permille) * 1.002
        assert histogram.estimate_percentile_bytes(days, permille) <= exact * 1.06
    assert all(a < b for a, b in pairwise(BOUNDS_KIB))
    assert 0 == histogram.estimate_percentile_bytes((), 900)


@given(runs=Runs, split=st.integers(0, 40))
def test_durations_merge(runs: list[tuple[int, int]], split: int) -> None:
    """Two parts are the whole, either way; the mean and the mean of ceilings are exact."""
    whole, one, other = make_sums(runs), make_sums(runs[:split]), make_sums(runs[split:])

    assert whole == merge_sums(one, other) == merge_sums(other, one)
    assert sum(run for run, _ in runs) == whole.run_us
    assert sum(-(-run // 1_000) for run, _ in runs) == whole.billed_ms


def test_percentiles_of_durations() -> None:
    """Within a bucket of 1/16, evenly spread."""
    sums = make_sums([(n * 100, 0) for n in range(1, 1_001)])

    assert pytest.approx(50_000, rel=0.04) == estimate_run_percentile_us(sums, 500)
    assert pytest.approx(95_000, rel=0.04) == estimate_run_percentile_us(sums, 950)
    assert 0.0 == estimate_run_percentile_us(Sums(), 500)
    assert BOUNDS_US[-1] >= 900_000_000


@given(points=st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), max_size=30), split=st.integers())
def test_inputs_merge(points: list[tuple[int, int, int]], split: int) -> None:
    """Sums of a straight line add up."""

    def sum_up(part: list[tuple[int, int, int]]) -> InputSums:
        sums = InputSums()
        for point in part:
            sums = add_input(sums, *point)
        return sums

    one, other = sum_up(points[:split]), sum_up(points[split:])
    assert sum_up(points) == merge_inputs(one, other) == merge_inputs(other, one)


def test_a_line_is_drawn_where_the_data_shows_one() -> None:
    """Peak = 20 MiB + 3 bytes for each of the input; the duration is no matter of it."""
    sums, noise = InputSums(), random.Random(1)
    for n in range(1, 41):
        sums = add_input(sums, n << 20, (20 + 3 * n) << 20, noise.randint(90_000, 110_000))

    peak = fit_peak(sums)
    assert peak is not None
    assert (20 * 1024, 3 / 1024) == pytest.approx((peak.base, peak.slope))
    assert fit_run(sums) is None
    assert fit_peak(InputSums()) is None


def test_a_leak_is_told_from_a_cache() -> None:
    """Growing in nearly every call is a leak; growing at first, or hardly, is none."""
    leaking: tuple[Track, ...] = ()
    caching: tuple[Track, ...] = ()
    steady: tuple[Track, ...] = ()
    for n in range(30):
        leaking = follow(leaking, "a", (30 << 20) + n * 300_000)
        caching = follow(caching, "b", (30 << 20) + min(n, 8) * 1_000_000)
        steady = follow(steady, "c", (30 << 20) + n * 1_000)

    track = find_leak(leaking)
    assert track is not None
    assert 29 * 300_000 == track.growth_bytes
    assert find_leak(caching) is None
    assert find_leak(steady) is None


def test_only_a_few_sandboxes_are_followed() -> None:
    """The least recently seen is forgotten; an unknown one is not followed."""
    tracks: tuple[Track, ...] = ()
    for n in range(10):
        tracks = follow(tracks, f"s{n}", 1 << 20)

    assert SANDBOXES_MAX == len(tracks)
    assert "s9" == tracks[-1].sandbox_id
    assert tracks is follow(tracks, "", 1 << 20)
    assert tracks is follow(tracks, "s9", 0)


@given(history=st.lists(events(), max_size=20), split=st.integers(0, 20))
def test_a_saved_state_goes_on(history: list[InvocationProfiled], split: int) -> None:
    """Saved, resumed and folded on: the same bytes as without."""
    whole = fold(history)
    resumed = fold(history[split:], resume(save(fold(history[:split]))))

    assert save(whole) == save(resumed)
    assert whole == resumed


@given(history=st.lists(events(), max_size=40))
def test_the_fold_in_place_is_the_fold(history: list[InvocationProfiled]) -> None:
    """Whatever comes: more sizes, days and sandboxes than are kept, failures, readings missing."""
    accumulator, state = Accumulator(), EMPTY
    for number, event in enumerate(event for event in history if has_run(event)):
        facts = read_facts(event)._replace(
            sandbox_id=f"s{number % 7}",
            baseline_bytes=(number * 7919 % 13) << 20,
            input_bytes=number * 31 % 5,
            memory_mb=event.execution.limits.memory_mb + number % 11,  # type: ignore[union-attr]
        )
        accumulator.add(facts)
        state = apply_facts(state, facts)
        assert save(state) == save(accumulator.freeze())


@given(history=st.lists(events(), max_size=30), split=st.integers(0, 30))
def test_the_fold_in_place_goes_on_from_a_state(
    history: list[InvocationProfiled], split: int
) -> None:
    """As if it had folded all of it."""
    ran = [read_facts(event) for event in history if has_run(event)]
    whole, first = Accumulator(), Accumulator()
    for facts in ran:
        whole.add(facts)
    first.add_all(ran[:split])
    resumed = Accumulator.thaw(first.freeze())
    resumed.add_all(ran[split:])

    assert save(whole.freeze()) == save(resumed.freeze())


def make_history(count: int) -> list[InvocationProfiled]:
    """Invocations of forty functions over three weeks, with changes, failures and noise."""
    generator = random.Random(5)
    history = []
    for number in range(count):
        function = generator.randrange(40)
        memory_mb = generator.choice((128, 256, 512, 512, 512, 1_024, 1_769))
        outcome = generator.choices((Outcome.SUCCEEDED, Outcome.FAILED, Outcome.OUT_OF_MEMORY),
                                    (970, 25, 1 if memory_mb < 200 else 0))[0]  # fmt: skip
        changes: dict[str, Any] = {
            "function_id": f"function-{function}",
            "outcome": outcome,
            "start": generator.choices((Start.WARM, Start.COLD), (30, 1))[0],
            "sandbox_id": f"s{generator.randrange(3)}",
            "memory_baseline_bytes": 10 * MIB + number * 3,
            "input_bytes": generator.randrange(10_000),
        }
        cpu_ms = (5 + function) * generator.uniform(0.9, 1.1)
        share = memory_mb / 1769
        history.append(
            make_event(
                number,
                limits=grant(memory_mb),
                run_ms=20 + cpu_ms / min(share, 1),
                cpu_ms=cpu_ms,
                throttled_ms=cpu_ms / min(share, 1) - cpu_ms,
                peak_mb=generator.uniform(20, 90),
                at_ms=number * 18_000 + generator.randrange(60_000),
                **changes,
            )
        )
    return history


def archive(folder: Path, history: list[InvocationProfiled]) -> ArchiveHistory:
    """The history in files of 20,000 rows."""
    files, after = FolderArchive(folder), START
    entries = [(f"1-{number}", encode(event)) for number, event in enumerate(history)]
    for begin in range(0, len(entries), 20_000):
        stretch = entries[begin : begin + 20_000]
        bounds = Bounds(after, stretch[0][0], stretch[-1][0], len(stretch))
        write_stretch(files, (PROFILES, 0), bounds, stretch)
        after = bounds.last
    return ArchiveHistory(files)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_thousand_events(tmp_path: Path) -> None:
    """Incremental, from zero, saved half way and out of the archive: all of it to the byte.

    The tuner that advises on every event and the one that is restored at the last moment give the
    same advice; so do one that went on from saved states, and one that knows only what the archive
    holds.
    """
    history = make_history(100_000)
    steady = Tuner()
    last: dict[str, bytes] = {}
    began = time.process_time()
    for event in history:
        last[event.execution.function_id] = encode(steady.handle(event)[0])
    print(f"advised on {len(history) / (time.process_time() - began):,.0f} events a second")

    final = {event.execution.function_id: event for event in history}
    restored, resumed = Tuner(), Tuner()
    ends = {id(event) for event in final.values()}
    began = time.process_time()
    for number, event in enumerate(history):
        if id(event) in ends:
            function_id = event.execution.function_id
            assert last[function_id] == encode(restored.handle(event)[0])
            assert last[function_id] == encode(resumed.handle(event)[0])
            continue
        restored.restore(event)
        if number == 50_000:
            resumed.resume(restored.save())
        elif number > 50_000:
            resumed.restore(event)
    print(f"folded {2 * len(history) / (time.process_time() - began):,.0f} events a second")
    assert steady.save() == restored.save() == resumed.save()

    archived = Tuner()
    for function_id, state in fold_states(archive(tmp_path, history)).items():
        archived.know(function_id, state)
    assert steady.save() == archived.save()
    for event in final.values():  # once more, as if it came again
        assert encode(steady.handle(event)[0]) == encode(archived.handle(event)[0])


def test_one_more_event_costs_no_more_late_than_early() -> None:
    """The state of a function does not grow with its history."""
    history = make_history(4_000)
    state = fold(history[:2_000])
    early = len(save(state))
    for event in history[2_000:]:
        state = apply(state, event)

    assert len(save(state)) < early * 1.5
