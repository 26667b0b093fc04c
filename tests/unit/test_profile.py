"""Kernel text to profile: recorded captures, and that no text whatsoever makes up a figure."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from executor.invocation import leave_out_unchanged
from profiler.breakdown import Evidence, divide_run
from profiler.deltas import put_unchanged_back
from profiler.figures import Figures
from profiler.parse import (
    parse_block_1,
    parse_block_2,
    parse_interfaces,
    parse_ticks,
)
from profiler.profile import estimate_profile, estimate_utilisation
from profiler.series import read_points
from profiler.stage import handle
from shared.codec import decode, encode
from shared.events import (
    Accuracy,
    Breakdown,
    Execution,
    InvocationFinished,
    InvocationProfiled,
    Limits,
    Outcome,
    Phases,
    Profile,
    Readings,
    SandboxStopped,
    Series,
    Start,
    derive_event_id,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "cgroup"
CAPTURES = sorted(GOLDEN.glob("*/*.txt"))
LIMITS = Limits(memory_mb=512, timeout_ms=3_000, cpu_quota_us=5_788)
MIB = 1 << 20


def make_execution(run_us: int, limits: Limits | None = LIMITS) -> Execution:
    return Execution(
        function_id="thumb",
        outcome=Outcome.SUCCEEDED,
        requested_at_ms=1,
        start=Start.WARM,
        limits=limits,
        phases=Phases(run_us=run_us),
    )


def load(name: str) -> tuple[int, Readings]:
    """The run time and the readings of a capture."""
    header, *sections = (GOLDEN / name).read_text().split("=== ")
    fields = dict(line.split(" ") for line in header.splitlines())
    files: dict[str, dict[str, str]] = {"previous": {}, "before": {}, "after": {}}
    series = None
    for section in sections:
        title, _, text = section.partition("\n")
        moment, _, file = title.partition(" ")
        if moment == "series":
            series = load_series(file, text)
        else:
            files[moment][file] = text
    accuracy = Accuracy(fields["accuracy"])
    readings = Readings(
        source=fields["source"],
        accuracy=accuracy,
        series=series,
        before=files["before"],
        after=files["after"],
        previous=files["previous"],
    )
    return int(fields["run_us"]), readings


def load_series(files: str, text: str) -> Series:
    memory_file, _, cpu_file = files.partition(" ")
    rows = [line.split("\t") for line in text.splitlines()]
    return Series(
        at_us=tuple(int(row[0]) for row in rows),
        memory=tuple(row[1] + "\n" for row in rows),
        cpu=tuple(row[2] + "\n" for row in rows),
        memory_file=memory_file,
        cpu_file=cpu_file,
    )


def profile_capture(name: str, **changes: Any) -> Profile:
    run_us, readings = load(name)
    return estimate_profile(make_execution(run_us), replace(readings, **changes))


def edit(files: dict[str, str], name: str, text: str | None) -> dict[str, str]:
    others = {other: value for other, value in files.items() if other != name}
    return others if text is None else {**others, name: text}


def total(breakdown: Breakdown) -> int:
    return sum(asdict(breakdown).values())


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_parts_of_captures_add_up(path: Path) -> None:
    """Whatever a capture holds, the parts of its run are the run."""
    run_us, _ = load(f"{path.parent.name}/{path.name}")

    assert run_us == total(profile_capture(f"{path.parent.name}/{path.name}").breakdown)


KERNELS = ("v1", "v2-6.1", "v2-6.12")
with_kernels = pytest.mark.parametrize("kernel", KERNELS)


@with_kernels
def test_captures_are_of_each_kind(kernel: str) -> None:
    """Each way to read the peak has its captures: v1, v2 without a reset, v2 with one."""
    _, readings = load(f"{kernel}/waiting.txt")

    expected = {
        "v1": ("cgroup1", Accuracy.EXACT),
        "v2-6.1": ("cgroup2", Accuracy.PROCESS_EXACT),
        "v2-6.12": ("cgroup2", Accuracy.EXACT),
    }
    assert expected[kernel] == (readings.source, readings.accuracy)


@with_kernels
def test_cpu_bound(kernel: str) -> None:
    """578 ms of CPU time at 0.29 cores: two seconds, most of it throttled or in the queue."""
    profile = profile_capture(f"{kernel}/cpu_bound.txt")
    parts = profile.breakdown

    cpu_us = profile.cpu_user_us + profile.cpu_system_us
    assert 578_000 == pytest.approx(cpu_us, rel=0.1)
    assert cpu_us == parts.on_cpu_us
    assert parts.throttled_us == profile.throttled_us > 0
    assert parts.throttled_us + parts.run_queue_us > 1_300_000
    assert profile.throttled_periods > 20
    assert 0 == profile.oom_kills
    assert () == profile.missing


@with_kernels
def test_peak_and_baseline(kernel: str) -> None:
    """A function that takes 30 MiB for a moment, after a call that took 50."""
    profile = profile_capture(f"{kernel}/waiting.txt")

    peak_above_mib = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
    assert 30 == pytest.approx(peak_above_mib, abs=1)
    assert profile.memory_growth_bytes < MIB
    assert 450_000 == pytest.approx(profile.breakdown.waiting_us, rel=0.05)


@with_kernels
def test_a_small_call_after_a_large_one(kernel: str) -> None:
    """5 MiB after 50: its own peak, not the other's."""
    profile = profile_capture(f"{kernel}/small_after_large.txt")

    peak_above_mib = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
    assert 5 == pytest.approx(peak_above_mib, abs=1)
    assert Accuracy.UPPER_BOUND is not profile.memory_accuracy


@with_kernels
def test_out_of_memory(kernel: str) -> None:
    """A child was killed at 64 MiB: the kill is counted and the peak is the limit, exactly."""
    profile = profile_capture(f"{kernel}/out_of_memory.txt")

    assert (1, 64 * MIB) == (profile.oom_kills, profile.memory_peak_bytes)
    assert Accuracy.EXACT is profile.memory_accuracy
    assert profile.memory_stall_us > 0


@with_kernels
def test_disk(kernel: str) -> None:
    """4 MiB written and read back, by whichever file of the kernel counts them."""
    profile = profile_capture(f"{kernel}/disk.txt")

    assert 4 * MIB == pytest.approx(profile.disk_write_bytes, rel=0.05)
    assert 4 * MIB == pytest.approx(profile.disk_read_bytes, rel=0.05)
    assert profile.breakdown.block_io_us > 0


@with_kernels
def test_two_processes(kernel: str) -> None:
    """Two busy children: together twice 300 ms, and never longer on a CPU than the run."""
    run_us, _ = load(f"{kernel}/two_processes.txt")
    profile = profile_capture(f"{kernel}/two_processes.txt")

    cpu_us = profile.cpu_user_us + profile.cpu_system_us
    assert 600_000 == pytest.approx(cpu_us, rel=0.15)
    assert profile.breakdown.on_cpu_us <= min(run_us, cpu_us)
    assert profile.breakdown.waiting_us < 0.05 * run_us


def test_children_without_a_reset_make_an_upper_bound() -> None:
    """Linux 6.1 cannot say what they took in this call, and it is not claimed."""
    profile = profile_capture("v2-6.1/two_processes.txt")

    assert Accuracy.UPPER_BOUND is profile.memory_accuracy
    assert profile.memory_peak_bytes > 50 * MIB


def test_a_cgroup_of_the_calls_tells_what_children_took() -> None:
    """5 MiB in a child after 50 in another, on Linux 6.1: exact, with the fork. Torn: a bound."""
    _, readings = load("v2-6.1/child_after_a_larger.txt")
    profile = profile_capture("v2-6.1/child_after_a_larger.txt")
    bounds = [
        profile_capture(
            "v2-6.1/child_after_a_larger.txt", after=edit(readings.after, f"call/{name}", text)
        )
        for name, text in (("number", "2\n"), ("memory.peak", None), ("net/dev", "cut off"))
    ]

    assert Accuracy.EXACT is profile.memory_accuracy
    above = profile.memory_peak_bytes - profile.memory_baseline_bytes
    assert 5.5 * MIB == pytest.approx(above, abs=MIB)
    assert {(Accuracy.UPPER_BOUND, 60_604_416)} == {
        (bound.memory_accuracy, bound.memory_peak_bytes) for bound in bounds
    }


def test_files_in_memory_without_a_reset_make_an_upper_bound() -> None:
    """What lies in /tmp is memory of the sandbox and not of the process."""
    _, readings = load("v2-6.1/small_after_large.txt")
    stat = readings.after["memory.stat"].replace("\nshmem 0\n", "\nshmem 9437184\n")
    profile = profile_capture(
        "v2-6.1/small_after_large.txt", after=edit(readings.after, "memory.stat", stat)
    )

    assert Accuracy.UPPER_BOUND is profile.memory_accuracy


def test_a_series_is_read() -> None:
    """Moments in order, memory and CPU time since the call; cut-off texts are left out."""
    _, readings = load("v1/waiting.txt")
    points = read_points(readings)

    assert len(points) > 10
    assert points == sorted(points)
    assert 36 == pytest.approx(max(point.memory_bytes or 0 for point in points) / MIB, abs=1)
    assert [] == [point for point in points if point.cpu_us is None]
    assert readings.series is not None
    cut = replace(readings.series, memory=("40",) * len(points), cpu=("usage_usec 7",) * 99)
    assert {(None, None)} == {point[1:] for point in read_points(replace(readings, series=cut))}


def test_cpu_between_two_calls_is_neither_calls() -> None:
    """What was left running is told apart; the first call of a sandbox has nothing before it."""
    _, readings = load("v1/waiting.txt")
    text = readings.before["unified/cpu.stat"]
    earlier = re.sub("user_usec ([0-9]+)", lambda found: f"user_usec {int(found[1]) - 5}", text)
    profile = profile_capture("v1/waiting.txt", previous={"unified/cpu.stat": earlier})

    assert 5 == profile.cpu_after_answer_us
    assert 0 == profile_capture("v1/waiting.txt", previous={}).cpu_after_answer_us
    gone = profile_capture("v1/waiting.txt", previous={"unified/cpu.stat": "usage_"})
    assert "cpu_after_answer_us" in gone.missing


def test_sampled_cpu_time_is_the_last_resort() -> None:
    """The samples of cpuacct divide its exact sum; without that they are taken as they are."""
    before = {"cpuacct.usage_user": "4000000\n", "cpuacct.usage_sys": "0\n"}
    after = {"cpuacct.usage_user": "16000000\n", "cpuacct.usage_sys": "4000000\n"}
    readings = Readings(source="cgroup1", accuracy=Accuracy.NONE, before=before, after=after)
    sampled = estimate_profile(make_execution(50_000), readings)
    exact = estimate_profile(
        make_execution(50_000),
        replace(
            readings,
            before=before | {"cpuacct.usage": "1000\n"},
            after=after | {"cpuacct.usage": "24001000\n"},
        ),
    )

    assert (12_000, 4_000) == (sampled.cpu_user_us, sampled.cpu_system_us)
    assert (18_000, 6_000) == (exact.cpu_user_us, exact.cpu_system_us)


def test_disk_on_version_1_needs_the_process() -> None:
    """`Total 0` may mean that nobody counted: without a second source it is missing."""
    _, readings = load("v1/disk.txt")
    profile = profile_capture("v1/disk.txt", after=edit(readings.after, "io", None))

    assert 0 == profile.disk_read_bytes
    assert {"disk_read_bytes", "disk_write_bytes"} <= set(profile.missing)


def test_limit_hits_are_not_believed_where_the_peak_denies_them() -> None:
    """Some kernels leave v1's counter at 0: a peak at the limit tells that it was met."""
    _, readings = load("v1/out_of_memory.txt")

    assert "0\n" == readings.after["memory.memsw.failcnt"]
    assert "memory_limit_hits" in profile_capture("v1/out_of_memory.txt").missing
    assert () == profile_capture("v1/waiting.txt").missing


def test_process_alone() -> None:
    """Without a cgroup the process's own files give CPU, memory and disk; the rest is named."""
    run_us, _ = load("process/cpu_bound.txt")
    profile = profile_capture("process/cpu_bound.txt")

    assert 578 == pytest.approx((profile.cpu_user_us + profile.cpu_system_us) / 1000, abs=20)
    assert Accuracy.PROCESS_EXACT is profile.memory_accuracy
    assert profile.memory_peak_bytes > 5 * MIB
    parts = profile.breakdown
    assert (0, run_us) == (parts.waiting_us, parts.on_cpu_us + parts.unattributed_us)
    missing = {"throttled_us", "throttled_periods", "page_cache_bytes", "oom_kills"}
    assert missing <= set(profile.missing)


def test_process_alone_knows_nothing_of_its_children() -> None:
    """Its own mark is not that of the function then: no peak at all."""
    assert Accuracy.NONE is profile_capture("process/two_processes.txt").memory_accuracy


def test_network_is_everything_but_the_loopback() -> None:
    """Both ways, over all interfaces of the sandbox, as deltas."""
    _, readings = load("v2-6.12/waiting.txt")
    before = (GOLDEN / "net_dev_before.txt").read_text()
    after = (GOLDEN / "net_dev_after.txt").read_text()
    profile = profile_capture(
        "v2-6.12/waiting.txt",
        before=edit(readings.before, "net/dev", before),
        after=edit(readings.after, "net/dev", after),
    )

    rows_before, rows_after = parse_interfaces(before), parse_interfaces(after)
    assert rows_before is not None
    assert rows_after is not None
    assert rows_after["eth0"][0] - rows_before["eth0"][0] == profile.network_rx_bytes > 0
    assert rows_after["eth0"][1] - rows_before["eth0"][1] == profile.network_tx_bytes > 0
    assert () == profile.missing


def test_an_interface_that_is_gone_makes_the_network_unknown() -> None:
    """Its count went with it: the rest would be a wrong number."""
    _, readings = load("v2-6.12/waiting.txt")
    text = (GOLDEN / "net_dev_after.txt").read_text()
    without = "".join(line for line in text.splitlines(keepends=True) if "ifb1" not in line)
    profile = profile_capture(
        "v2-6.12/waiting.txt",
        before=edit(readings.before, "net/dev", text),
        after=edit(readings.after, "net/dev", without),
    )

    assert ("network_rx_bytes", "network_tx_bytes") == profile.missing


@pytest.mark.parametrize(
    "text", [None, "", "\n", "4718592", "47 MB\n", "-5\n", "٤٧\n", "4_7\n", "9" * 19 + "\n"]
)
def test_an_unreadable_peak_is_none(text: str | None) -> None:
    """Missing, empty, cut off, words, negative, foreign digits, too long: no peak at all."""
    _, readings = load("v2-6.12/waiting.txt")
    profile = profile_capture(
        "v2-6.12/waiting.txt", after=edit(readings.after, "memory.peak", text)
    )

    assert 0 == profile.memory_peak_bytes
    assert Accuracy.NONE is profile.memory_accuracy
    assert "memory_peak_bytes" in profile.missing


def test_a_counter_that_ran_backwards_is_missing() -> None:
    """Readings the wrong way round give no figure, and nothing is said about the run."""
    run_us, readings = load("v1/cpu_bound.txt")
    profile = profile_capture("v1/cpu_bound.txt", before=readings.after, after=readings.before)

    assert {"cpu_user_us", "cpu_system_us", "throttled_us"} <= set(profile.missing)
    assert 0 == profile.cpu_user_us == profile.cpu_system_us == profile.throttled_us
    assert Breakdown(unattributed_us=run_us) == profile.breakdown


def test_a_text_cut_off_is_not_read() -> None:
    """Half a number is a wrong number."""
    assert parse_block_1("8:0 Read 4096\n8:0 Write 0\n") is None
    assert parse_block_1("8:0 Read 4096\n8:0 Write 0\nTotal 4096\n") == {"8:0": (4096, 0)}
    assert parse_block_2("8:0 rbytes=40 wbytes=1 rios=1\n254:0 rbytes=9") is None
    assert parse_interfaces("Inter-|\n face |\n eth0: 12 0 0 0 0 0 0 0 9") is None
    assert parse_ticks("7 (a) b) R " + "1 " * 12) is None


def test_a_program_name_with_brackets() -> None:
    """The fields of /proc/<pid>/stat are counted behind the last bracket of the name."""
    text = "7 (a) (b c)) S 1 1 1 0 -1 0 9 0 0 0 15 44 2 3 20 0 1 0 328292 14348288 2701\n"

    assert (15 + 2, 44 + 3) == parse_ticks(text)


def test_nothing_read_after_a_run() -> None:
    """Every figure is named as missing and the whole run is unattributed."""
    profile = estimate_profile(make_execution(900), None)

    assert Profile(breakdown=Breakdown(unattributed_us=900), missing=Figures._fields) == profile


def test_nothing_to_read() -> None:
    """What never ran misses nothing."""
    assert Profile() == estimate_profile(make_execution(0, limits=None), None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [(LIMITS, 1.7277), (None, 0.5), (Limits(memory_mb=512, timeout_ms=1), 0.5)],
)
def test_utilisation(limits: Limits | None, expected: float) -> None:
    """Of the granted share; of one core where there is no quota."""
    assert expected == estimate_utilisation(500, 1_000, limits)


Amounts = st.none() | st.integers(0, 10**12)
Evidences = st.builds(
    Evidence,
    **dict.fromkeys(Evidence._fields, Amounts)
    | {"has_met_limit": st.none() | st.booleans(), "period_us": st.integers(0, 10**6)},
)


@settings(max_examples=1_000)
@given(run_us=st.integers(0, 10**12), seen=Evidences)
def test_parts_add_up(run_us: int, seen: Evidence) -> None:
    """The parts are the run, and none is negative, whatever the kernel says."""
    breakdown = divide_run(run_us, seen)

    assert run_us == total(breakdown)
    assert all(part >= 0 for part in asdict(breakdown).values())


Mix = st.fixed_dictionaries(
    {name: st.integers(0, 10**7) for name in ("cpu", "throttled", "queue", "disk", "sleep")}
)


@settings(max_examples=1_000)
@given(mix=Mix)
def test_a_known_mix_is_divided_as_it_was_made(mix: dict[str, int]) -> None:
    """One thread, everything measured, no shortage of memory: each part is exactly what it was."""
    run_us = sum(mix.values())
    seen = Evidence(
        cpu_us=mix["cpu"],
        system_us=mix["cpu"] // 3,
        throttled_us=mix["throttled"],
        main_cpu_us=mix["cpu"],
        main_ready_us=mix["throttled"] + mix["queue"],
        cpu_stall_us=mix["throttled"] + mix["queue"],
        io_stall_us=mix["disk"],
        memory_stall_us=0,
        busy_us=mix["cpu"],
    )
    parts = divide_run(run_us, seen)

    assert (mix["cpu"], mix["throttled"], mix["queue"], mix["disk"]) == (
        parts.on_cpu_us,
        parts.throttled_us,
        parts.run_queue_us,
        parts.block_io_us,
    )
    assert mix["sleep"] == parts.waiting_us + parts.unattributed_us
    assert parts.unattributed_us <= mix["disk"] // 4  # what pressure may have missed


SAMPLES = {str(path.relative_to(GOLDEN)): load(str(path.relative_to(GOLDEN))) for path in CAPTURES}
ALPHABET = st.sampled_from([*"0123456789- :=().\n\t", "kB", "rbytes=", "total=", "\ufffd", "٤"])
Damage = st.tuples(st.integers(0, 3_000), st.integers(0, 40), st.lists(ALPHABET, max_size=12))


def damage(text: str, how: tuple[int, int, list[str]]) -> str:
    """Some of it replaced, or, without a replacement, the rest of it cut off."""
    at, length, middle = how
    return text[:at] + "".join(middle) + text[at + length :] if middle else text[:at]


@st.composite
def damaged(draw: st.DrawFn) -> Readings:
    """A capture of some kernel with some of its files damaged, swapped or gone."""
    _, readings = SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))]
    sides = []
    for files in (readings.before, readings.after):
        names = draw(st.lists(st.sampled_from(sorted(files)), max_size=4))
        changed = {name: damage(files[name], draw(Damage)) for name in names}
        changed |= {name: draw(st.text(max_size=20)) for name in names[:1]}
        sides.append({**files, **changed})
        for name in names[1:2]:
            del sides[-1][name]
    return replace(
        readings,
        source=draw(st.sampled_from([readings.source, "cgroup1", "cgroup2", "process", "cgroup3"])),
        accuracy=draw(st.sampled_from(Accuracy)),
        before=sides[0],
        after=sides[1],
        previous=sides[draw(st.integers(0, 1))],
        series=draw(st.none() | st.just(readings.series) | Serieses),
    )


Serieses = st.builds(
    Series,
    at_us=st.lists(st.integers(-5, 10**10), max_size=6).map(tuple),
    memory=st.lists(st.sampled_from(["7\n", "7", "x\n"]) | st.text(max_size=9)).map(tuple),
    cpu=st.lists(st.sampled_from(["usage_usec 7\n", "usage_"])).map(tuple),
    memory_file=st.sampled_from(["memory.current", "status", ""]),
    cpu_file=st.sampled_from(["cpu.stat", "unified/cpu.stat", "cpuacct.usage", ""]),
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(readings=damaged(), run_us=st.integers(0, 10**10))
@example(Readings(source="", accuracy=Accuracy.EXACT, before={}, after={}), 0)
def test_garbage_is_never_an_error_and_never_a_figure(readings: Readings, run_us: int) -> None:
    """Any text: a profile that can be stored, whose parts add up, whose missing figures are 0."""
    profile = estimate_profile(make_execution(run_us), readings)

    assert run_us == total(profile.breakdown)
    assert all(part >= 0 for part in asdict(profile.breakdown).values())
    assert [] == [name for name in profile.missing if getattr(profile, name) != 0]
    assert ("memory_peak_bytes" in profile.missing) == (profile.memory_accuracy is Accuracy.NONE)
    (profiled,) = handle(make_finished(run_us, readings))
    assert profiled == decode(encode(profiled))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(readings=damaged() | st.sampled_from([readings for _, readings in SAMPLES.values()]))
def test_texts_that_did_not_change_are_stored_once(readings: Readings) -> None:
    """The profile is the same, and the event never larger."""
    stored = leave_out_unchanged(readings)

    assert stored.before.keys() & set(stored.unchanged) == set()
    assert put_unchanged_back(stored) == put_unchanged_back(readings)
    whole, short = make_finished(1_000, readings), make_finished(1_000, stored)
    assert handle(short) == handle(whole)


@settings(max_examples=500)
@given(data=st.data(), sample=st.sampled_from(sorted(SAMPLES)))
def test_a_text_cut_off_never_makes_another_number(data: st.DataObject, sample: str) -> None:
    """Any file of any kernel, cut anywhere: each figure is what it was, or missing, or said to be
    less accurate.
    """
    run_us, readings = SAMPLES[sample]
    moment = data.draw(st.sampled_from(["before", "after"]))
    files = getattr(readings, moment)
    # A table of disks that ends with a line may as well be whole.
    name = data.draw(st.sampled_from(sorted(set(files) - {"io.stat"})))
    text = files[name][: data.draw(st.integers(0, max(len(files[name]) - 1, 0)))]
    whole = estimate_profile(make_execution(run_us), readings)
    cut = estimate_profile(
        make_execution(run_us), replace(readings, **{moment: {**files, name: text}})
    )

    for figure in Figures._fields:
        is_same = getattr(whole, figure) == getattr(cut, figure)
        is_told = figure in cut.missing or (
            figure.startswith("memory_") and cut.memory_accuracy is not whole.memory_accuracy
        )
        assert is_same or is_told, (figure, name, text)


def make_finished(run_us: int, readings: Readings | None) -> InvocationFinished:
    return InvocationFinished(
        event_id="finished-1",
        invocation_id="req-1",
        causation_id="requested-1",
        occurred_at_ms=7,
        execution=make_execution(run_us),
        readings=readings,
    )


def test_stage_answers_with_one_event() -> None:
    """The header is derived from the cause alone, so that a repeat is the same bytes."""
    finished = make_finished(*load("v2-6.12/waiting.txt"))
    (profiled,) = handle(finished)

    expected = InvocationProfiled(
        event_id=derive_event_id("finished-1", "InvocationProfiled"),
        invocation_id="req-1",
        causation_id="finished-1",
        occurred_at_ms=7,
        execution=finished.execution,
        profile=profile_capture("v2-6.12/waiting.txt"),
    )
    assert expected == profiled
    assert encode(profiled) == encode(*handle(finished))


def test_stage_passes_over_sandboxes() -> None:
    """A sandbox that stopped has no profile."""
    stopped = SandboxStopped(
        event_id="1",
        invocation_id="",
        causation_id="",
        occurred_at_ms=1,
        function_id="thumb",
        sandbox_id="s",
        worker_id="w",
        reason="idle",
    )

    assert () == handle(stopped)


def test_stage_refuses_what_is_not_its_own() -> None:
    """An event of another stream is an error, and so is buried rather than lost."""
    (profiled,) = handle(make_finished(1, None))
    assert isinstance(profiled, InvocationProfiled)

    with pytest.raises(TypeError, match="InvocationProfiled"):
        handle(profiled)
