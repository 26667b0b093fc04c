"""Kernel text to profile: recorded captures, and that no text whatsoever makes up a figure."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from profiler.figures import Figures
from profiler.parse import parse_block_1, parse_block_2, parse_interfaces, parse_ticks
from profiler.profile import divide_run, estimate_profile, estimate_utilisation
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
    files: dict[str, dict[str, str]] = {"before": {}, "after": {}}
    for section in sections:
        title, _, text = section.partition("\n")
        moment, _, file = title.partition(" ")
        files[moment][file] = text
    readings = Readings(source=fields["source"], accuracy=Accuracy(fields["accuracy"]), **files)
    return int(fields["run_us"]), readings


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


def test_cpu_bound_on_version_1() -> None:
    """578 ms of CPU time at 0.29 cores: a run of two seconds, nearly all of it throttled."""
    profile = profile_capture("v1/cpu_bound.txt")

    assert 578 == pytest.approx((profile.cpu_user_us + profile.cpu_system_us) / 1000, abs=2)
    assert 1.0 == pytest.approx(profile.cpu_utilisation_ratio, abs=0.02)
    assert profile.breakdown.on_cpu_us == profile.cpu_user_us + profile.cpu_system_us
    assert profile.breakdown.throttled_us == profile.throttled_us > 1_000_000
    assert profile.throttled_periods > 90
    assert Accuracy.EXACT is profile.memory_accuracy
    assert 0 == profile.oom_kills
    assert ("network_rx_bytes", "network_tx_bytes") == profile.missing


def test_sampled_cpu_time_is_the_last_resort() -> None:
    """Without the exact counter, the sampled ones are taken as they are."""
    _, readings = load("v1/cpu_bound.txt")
    exact = profile_capture("v1/cpu_bound.txt")
    sampled = profile_capture(
        "v1/cpu_bound.txt",
        before=edit(readings.before, "cpuacct.usage", None),
        after=edit(readings.after, "cpuacct.usage", None),
    )

    exact_us = exact.cpu_user_us + exact.cpu_system_us
    sampled_us = sampled.cpu_user_us + sampled.cpu_system_us
    assert 0 == sampled_us % 4_000  # whole ticks
    assert exact_us != sampled_us


def test_peak_and_baseline_on_version_1() -> None:
    """A function that takes 30 MiB for a moment shows a peak of 30 MiB above its baseline."""
    profile = profile_capture("v1/waiting.txt")

    peak_above_mib = (profile.memory_peak_bytes - profile.memory_baseline_bytes) / MIB
    assert 30 == pytest.approx(peak_above_mib, abs=1)
    assert 30 == pytest.approx(profile.memory_growth_bytes / MIB, abs=1)
    assert profile.breakdown.waiting_us > 400_000


def test_two_processes_pass_the_wall_clock() -> None:
    """Two busy processes use twice the run as CPU time; the run itself is on CPU once."""
    run_us, _ = load("v1/two_processes.txt")
    profile = profile_capture("v1/two_processes.txt")

    assert profile.cpu_user_us + profile.cpu_system_us > 1.8 * run_us
    assert Breakdown(on_cpu_us=run_us) == profile.breakdown


def test_disk_on_version_1_comes_from_the_process() -> None:
    """Where the kernel leaves its v1 counters at nothing, the process's own are taken."""
    profile = profile_capture("v1/disk.txt")

    assert profile.disk_write_bytes >= 4 * MIB
    assert profile.disk_read_bytes >= 1 * MIB
    assert "disk_read_bytes" not in profile.missing


def test_an_empty_block_table_on_version_1_is_no_zero() -> None:
    """`Total 0` may mean that nobody counted: without a second source it is missing."""
    _, readings = load("v1/disk.txt")
    profile = profile_capture("v1/disk.txt", after=edit(readings.after, "io", None))

    assert 0 == profile.disk_read_bytes
    assert {"disk_read_bytes", "disk_write_bytes"} <= set(profile.missing)


def test_version_2() -> None:
    """Every figure of the documented cgroup v2 format is read."""
    profile = profile_capture("v2/waiting.txt")

    expected = Profile(
        cpu_user_us=900,
        cpu_system_us=300,
        cpu_utilisation_ratio=0.0092,
        memory_peak_bytes=45 * MIB,
        memory_baseline_bytes=7 * MIB,
        memory_growth_bytes=9 * MIB,
        memory_accuracy=Accuracy.EXACT,
        page_cache_bytes=8_417_280 + 1_048_576,
        disk_read_bytes=9_469_952 - 1_052_672,
        disk_write_bytes=4_096,
        oom_kills=1,
        breakdown=Breakdown(on_cpu_us=1_200, waiting_us=448_800),
        missing=("network_rx_bytes", "network_tx_bytes"),
    )
    assert expected == profile


def test_process_alone() -> None:
    """Without a cgroup the process's own files give CPU, memory and disk; the rest is named."""
    profile = profile_capture("process/cpu_bound.txt")

    assert 578 == pytest.approx((profile.cpu_user_us + profile.cpu_system_us) / 1000, abs=20)
    assert Accuracy.PROCESS_EXACT is profile.memory_accuracy
    assert profile.memory_peak_bytes > 5 * MIB
    assert 0 == profile.breakdown.waiting_us < profile.breakdown.unattributed_us
    missing = {"throttled_us", "throttled_periods", "page_cache_bytes", "oom_kills"}
    assert missing <= set(profile.missing)


def test_process_exact_peak_on_version_2() -> None:
    """Where cgroup v2 cannot reset its peak, the process's is taken, with its own baseline."""
    _, readings = load("v2/waiting.txt")
    profile = profile_capture(
        "v2/waiting.txt",
        accuracy=Accuracy.PROCESS_EXACT,
        before=edit(readings.before, "status", "VmHWM:\t   8000 kB\nVmRSS:\t   8000 kB\n"),
        after=edit(readings.after, "status", "VmHWM:\t  20000 kB\nVmRSS:\t   9000 kB\n"),
    )

    assert 20_000 * 1024 == profile.memory_peak_bytes
    assert 8_000 * 1024 == profile.memory_baseline_bytes
    assert 1_000 * 1024 == profile.memory_growth_bytes
    assert Accuracy.PROCESS_EXACT is profile.memory_accuracy


def test_network_is_everything_but_the_loopback() -> None:
    """Both ways, over all interfaces of the sandbox, as deltas."""
    _, readings = load("v2/waiting.txt")
    before = (GOLDEN / "net_dev_before.txt").read_text()
    after = (GOLDEN / "net_dev_after.txt").read_text()
    profile = profile_capture(
        "v2/waiting.txt",
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
    _, readings = load("v2/waiting.txt")
    text = (GOLDEN / "net_dev_after.txt").read_text()
    without = "".join(line for line in text.splitlines(keepends=True) if "ifb1" not in line)
    profile = profile_capture(
        "v2/waiting.txt",
        before=edit(readings.before, "net/dev", text),
        after=edit(readings.after, "net/dev", without),
    )

    assert ("network_rx_bytes", "network_tx_bytes") == profile.missing


@pytest.mark.parametrize(
    "text", [None, "", "\n", "4718592", "47 MB\n", "-5\n", "٤٧\n", "4_7\n", "9" * 19 + "\n"]
)
def test_an_unreadable_peak_is_none(text: str | None) -> None:
    """Missing, empty, cut off, words, negative, foreign digits, too long: no peak at all."""
    _, readings = load("v2/waiting.txt")
    profile = profile_capture("v2/waiting.txt", after=edit(readings.after, "memory.peak", text))

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


@given(run_us=st.integers(0, 10**12), cpu_us=Amounts, throttled_us=Amounts)
def test_parts_add_up(run_us: int, cpu_us: int | None, throttled_us: int | None) -> None:
    """The parts are the run, and none is negative."""
    breakdown = divide_run(run_us, cpu_us, throttled_us)

    assert run_us == total(breakdown)
    assert all(part >= 0 for part in asdict(breakdown).values())


SAMPLES = {name: load(name)[1] for name in ("v1/disk.txt", "v2/waiting.txt", "process/waiting.txt")}
NAMES = sorted({name for readings in SAMPLES.values() for name in readings.after} | {"net/dev"})


@st.composite
def mangled(draw: st.DrawFn) -> str:
    """A text of the kernel, cut, overwritten or replaced."""
    texts = [text for readings in SAMPLES.values() for text in readings.after.values()]
    text = draw(st.sampled_from([*texts, (GOLDEN / "net_dev_after.txt").read_text()]))
    start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
    alphabet = st.sampled_from([*"0123456789- :=().\n\t", "kB", "rbytes=", "\ufffd", "٤"])
    middle = "".join(draw(st.lists(alphabet, max_size=12)))
    return draw(st.sampled_from([text[:start] + middle + text[start + length :], text[:start]]))


Files = st.dictionaries(st.sampled_from(NAMES), mangled() | st.text(max_size=30))


@given(
    source=st.sampled_from(["cgroup1", "cgroup2", "process", ""]),
    accuracy=st.sampled_from(Accuracy),
    before=Files,
    after=Files,
    run_us=st.integers(0, 10**10),
)
@example("cgroup1", Accuracy.EXACT, {}, {}, 0)
def test_garbage_is_never_an_error_and_never_a_figure(
    source: str,
    accuracy: Accuracy,
    before: dict[str, str],
    after: dict[str, str],
    run_us: int,
) -> None:
    """Any text: a profile that can be stored, whose parts add up, whose missing figures are 0."""
    readings = Readings(source=source, accuracy=accuracy, before=before, after=after)
    profile = estimate_profile(make_execution(run_us), readings)

    assert run_us == total(profile.breakdown)
    assert [] == [name for name in profile.missing if getattr(profile, name) != 0]
    assert ("memory_peak_bytes" in profile.missing) == (profile.memory_accuracy is Accuracy.NONE)
    (profiled,) = handle(make_finished(run_us, readings))
    assert profiled == decode(encode(profiled))


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
    finished = make_finished(450_000, load("v2/waiting.txt")[1])
    (profiled,) = handle(finished)

    expected = InvocationProfiled(
        event_id=derive_event_id("finished-1", "InvocationProfiled"),
        invocation_id="req-1",
        causation_id="finished-1",
        occurred_at_ms=7,
        execution=finished.execution,
        profile=profile_capture("v2/waiting.txt"),
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
