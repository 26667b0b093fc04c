"""Profiles to advice: the figures of known functions, and what must hold for every history."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codec import decode, encode
from shared.events import (
    Accuracy,
    Advice,
    Confidence,
    Execution,
    FindingKind,
    InvocationProfiled,
    InvocationTuned,
    Limits,
    Outcome,
    Phases,
    Profile,
    SandboxStopped,
    Start,
    derive_event_id,
)
from tuner.adviser import Adviser
from tuner.price_lists import LAMBDA_X86
from tuner.prices import price_compute_usd, price_invocation_usd, round_to_billed_us
from tuner.savings import estimate_monthly_calls
from tuner.stage import Tuner
from tuner.state import EMPTY, EVIDENCE_MAX, SIZES_MAX, FunctionState, apply, fold
from tuner.tips import ENGLISH, KOREAN, Language, Reason, Situation, write_tip

PERIOD_US = 20_000
MIB = 1 << 20


def grant(memory_mb: int) -> Limits:
    """What the executor grants: CPU in proportion to memory."""
    quota_us = max(int(memory_mb / 1769 * PERIOD_US), 1_000)
    return Limits(memory_mb=memory_mb, timeout_ms=3_000, cpu_quota_us=quota_us)


def make_event(
    number: int = 1,
    *,
    limits: Limits | None = None,
    run_ms: float = 450,
    cpu_ms: float = 1.2,
    throttled_ms: float = 0,
    peak_mb: float = 45,
    at_ms: int | None = None,
    **changes: Any,
) -> InvocationProfiled:
    """An invocation of 512 MB that waits for 450 ms, but for what is said otherwise."""
    limits = limits or grant(512)
    run_us, cpu_us, throttled_us = (int(ms * 1000) for ms in (run_ms, cpu_ms, throttled_ms))
    share = (limits.cpu_quota_us or PERIOD_US) / PERIOD_US
    execution = Execution(
        function_id="thumb",
        outcome=Outcome.SUCCEEDED,
        requested_at_ms=1,
        start=Start.WARM,
        limits=limits,
        phases=Phases(run_us=run_us),
    )
    profile = Profile(
        cpu_user_us=cpu_us,
        cpu_utilisation_ratio=round(cpu_us / max(run_us, 1) / share, 4),
        throttled_us=throttled_us,
        memory_peak_bytes=int(peak_mb * MIB),
        memory_accuracy=Accuracy.EXACT,
    )
    in_profile = {key: value for key, value in changes.items() if hasattr(profile, key)}
    in_execution = {key: value for key, value in changes.items() if hasattr(execution, key)}
    assert changes == in_profile | in_execution
    return InvocationProfiled(
        event_id=f"profiled-{number}",
        invocation_id=f"req-{number}",
        causation_id=f"finished-{number}",
        occurred_at_ms=number * 1000 if at_ms is None else at_ms,
        execution=msgspec.structs.replace(execution, **in_execution),
        profile=msgspec.structs.replace(profile, **in_profile),
    )


def advise(*events: InvocationProfiled, language: Language = "en") -> Advice:
    """The advice after the last of `events`."""
    tuner = Tuner(Adviser(language=language))
    advice = [tuner.handle(event)[0].advice for event in events][-1]
    assert advice is not None
    return advice


def kinds(advice: Advice) -> list[FindingKind]:
    return [finding.kind for finding in advice.findings]


CPU_BOUND: dict[str, Any] = {
    "run_ms": 2_000,
    "cpu_ms": 578,
    "throttled_ms": 1_420,
    "peak_mb": 15,
}


def test_a_waiting_function_is_told_the_smallest_size() -> None:
    """512 MB, peak 45 MB, waiting: 128 MB does the same for a quarter of the price."""
    advice = advise(make_event())

    assert 128 == advice.memory_mb
    assert (128, 128) == (advice.memory_mb_min, advice.memory_mb_max)
    assert 75.0 == advice.savings_percent
    assert advice.savings_monthly_usd is None
    assert 450.0 == advice.duration_ms
    assert FindingKind.RESOURCE_WASTE in kinds(advice)
    assert "peak 45 MB of 512 MB (9 %)" == advice.findings[0].evidence
    assert (
        "Resource waste: 512 MB allocated, peak 45 MB. "
        "Switch to 128 MB to save 75 % of the compute price." == advice.tip
    )


def test_a_waiting_function_is_told_dollars_once_there_is_a_rate() -> None:
    """The dollars of a month are the saved compute price times the calls at the observed rate."""
    hour_ms = 3_600_000
    calls = [make_event(number, at_ms=number * hour_ms // 1_699) for number in range(1_700)]
    advice = advise(*calls)

    saved_usd = 0.450 * (512 - 128) / 1024 * 0.000_016_666_7
    assert saved_usd * 1_700 * 730 == pytest.approx(advice.savings_monthly_usd, abs=0.001)
    assert (
        "Resource waste: 512 MB allocated, peak 45 MB. Switch to 128 MB to save $3.49 a month."
        == advice.tip
    )
    assert Confidence.HIGH is advice.confidence


def test_a_cpu_bound_function_is_told_a_larger_size() -> None:
    """Its memory is idle but its CPU share is not: smaller would be slower and no cheaper."""
    advice = advise(make_event(**CPU_BOUND))

    assert 1_792 == advice.memory_mb
    assert 0 == pytest.approx(advice.savings_percent, abs=3)
    assert 556 == pytest.approx(advice.duration_ms, abs=2)  # caches stay warm: less than 578
    assert [FindingKind.RESOURCE_WASTE, FindingKind.CPU_THROTTLED] == kinds(advice)
    assert "memory also buys its CPU share" in advice.findings[0].evidence
    assert (
        "CPU-limited: 2000 ms a call at 512 MB. Switch to 1792 MB for 556 ms a call, "
        "at about the same price." == advice.tip
    )


def test_the_advice_is_stable_where_it_leads() -> None:
    """At the advised size the function is advised to stay."""
    advice = advise(make_event(limits=grant(1_792), run_ms=580, cpu_ms=578, peak_mb=15))

    assert 1_792 == advice.memory_mb
    assert 0.0 == advice.savings_percent
    assert "1792 MB fits: peak 15 MB." == advice.tip


def test_without_a_quota_memory_buys_no_speed() -> None:
    """Under a fixed CPU policy the same CPU-bound function needs no more than it uses."""
    for quota_us in (None, PERIOD_US):
        limits = Limits(memory_mb=512, timeout_ms=3_000, cpu_quota_us=quota_us)
        advice = advise(make_event(limits=limits, run_ms=600, cpu_ms=578, peak_mb=15))

        assert (128, 75.0) == (advice.memory_mb, advice.savings_percent)
        assert 600.0 == advice.duration_ms


def test_unknown_cpu_time_promises_nothing() -> None:
    """A share of the CPU is not cut on the strength of a reading that failed."""
    missing = ("cpu_user_us", "cpu_system_us", "throttled_us")
    advice = advise(make_event(cpu_ms=0, missing=missing))

    assert (512, 0.0) == (advice.memory_mb, advice.savings_percent)
    assert Confidence.LOW is advice.confidence
    assert FindingKind.IO_BOUND not in kinds(advice)


def test_an_unknown_peak_keeps_the_limit() -> None:
    """Below the limit nothing is known to be safe while no peak was measured."""
    advice = advise(
        make_event(peak_mb=0, memory_accuracy=Accuracy.NONE, missing=("memory_peak_bytes",))
    )

    assert (512, 0.0) == (advice.memory_mb, advice.savings_percent)
    assert FindingKind.RESOURCE_WASTE not in kinds(advice)
    assert "Stay at 512 MB: no memory peak could be measured." == advice.tip


def test_memory_risk() -> None:
    """A peak above 85 % of the limit asks for a third more than the peak."""
    advice = advise(make_event(limits=grant(128), peak_mb=110))

    assert [FindingKind.MEMORY_RISK, FindingKind.IO_BOUND] == kinds(advice)
    assert "peak 110 MB of 128 MB (86 %)" == advice.findings[0].evidence
    assert 149 == advice.memory_mb  # 110 x 1.35 = 148.5
    assert advice.savings_percent < 0
    assert "Memory risk: peak 110 MB of 128 MB. Switch to 149 MB, for 16.4 % more." == advice.tip


@pytest.mark.parametrize(
    ("limit_mb", "expected"), [(128, 228), (512, 615), (1_024, 1_229), (10_240, 10_240)]
)
def test_out_of_memory_raises_the_floor(limit_mb: int, expected: int) -> None:
    """By a fifth or 100 MB, whichever is more, as far as there are sizes; for good."""
    killed = make_event(
        1, limits=grant(limit_mb), outcome=Outcome.OUT_OF_MEMORY, peak_mb=limit_mb * 0.7
    )
    advice = advise(killed)

    assert expected == advice.memory_mb
    assert f"ran out of memory at {limit_mb} MB" == advice.findings[0].evidence
    assert expected == advise(killed, make_event(2, limits=grant(expected))).memory_mb_min


def test_a_killed_child_counts_as_out_of_memory() -> None:
    """The function survived, a process that it started did not."""
    advice = advise(make_event(limits=grant(128), peak_mb=90, oom_kills=1))

    assert 228 == advice.memory_mb
    assert "Out of memory at 128 MB. Switch to 228 MB, for 78.1 % more." == advice.tip


def test_io_bound() -> None:
    """A long run with little CPU and no throttling is bound by what it waits for."""
    evidence = advise(make_event(limits=grant(128))).findings[0].evidence

    assert "used 3.7 % of its CPU share in 450 ms, not throttled" == evidence
    assert [] == kinds(advise(make_event(limits=grant(128), run_ms=99)))
    assert [] == kinds(advise(make_event(limits=grant(128), throttled_ms=10)))
    assert [] == kinds(advise(make_event(limits=grant(128), cpu_ms=8)))


def test_nothing_is_wasted_at_the_smallest_size() -> None:
    """A function that uses little of 128 MB cannot be told less."""
    advice = advise(make_event(limits=grant(128), peak_mb=9, run_ms=50))

    assert () == advice.findings
    assert "128 MB fits: peak 9 MB." == advice.tip


def test_a_tip_says_what_becomes_slower() -> None:
    """Where the smaller size costs time, the tip does not keep it to itself."""
    advice = advise(make_event(limits=grant(1_024), run_ms=450, cpu_ms=25))

    assert 128 == advice.memory_mb
    assert advice.tip.endswith(" A call then takes 591 ms instead of 450 ms.")


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, Confidence.LOW), (4, Confidence.LOW), (5, Confidence.MEDIUM), (20, Confidence.HIGH)],
)
def test_confidence_grows_with_runs(count: int, expected: Confidence) -> None:
    """Low from the first, medium from five, high from twenty."""
    advice = advise(*(make_event(number) for number in range(count)))

    assert expected is advice.confidence
    assert count == advice.invocation_count


def test_failed_runs_count_for_peaks_alone() -> None:
    """A run that failed early must not make a function look fast."""
    fine, failed = make_event(1), make_event(2, outcome=Outcome.FAILED, run_ms=3, peak_mb=200)
    advice = advise(fine, failed)

    assert 450.0 == advice.duration_ms
    assert 270 == advice.memory_mb  # 200 x 1.35


def test_without_any_success_the_limit_stays() -> None:
    """Nothing is known about the duration, so nothing is said about savings."""
    advice = advise(make_event(outcome=Outcome.FAILED))

    assert (512, 0.0, None) == (
        advice.memory_mb,
        advice.savings_percent,
        advice.savings_monthly_usd,
    )
    assert "Stay at 512 MB until a run succeeds and can be timed: peak 45 MB." == advice.tip


def test_cold_runs_are_left_out_once_there_are_warm_ones() -> None:
    """The first run in a sandbox is slower than those that the advice is about."""
    cold = make_event(1, start=Start.COLD, run_ms=900)

    assert 900.0 == advise(cold).duration_ms
    assert 450.0 == advise(cold, make_event(2)).duration_ms


def test_rejected_invocations_leave_no_trace() -> None:
    """What never ran gets no advice and changes none."""
    tuner = Tuner()
    rejected = make_event(1, outcome=Outcome.REJECTED, start=Start.NONE)
    rejected = msgspec.structs.replace(
        rejected, execution=msgspec.structs.replace(rejected.execution, limits=None)
    )
    tuned, *_ = tuner.handle(rejected)

    assert tuned.advice is None
    assert EMPTY is tuner.state_of("thumb")


def test_the_call_rate_is_never_taken_from_a_moment() -> None:
    """Two calls within a second are two calls an hour, not millions a month."""
    assert estimate_monthly_calls(fold([make_event(1)])) is None
    assert 2 * 730 == estimate_monthly_calls(fold([make_event(1), make_event(2)]))
    day = [make_event(number, at_ms=number * 3_600_000) for number in range(25)]
    assert 25 * 730 / 24 == estimate_monthly_calls(fold(day))


def test_threads_gain_from_more_than_one_core() -> None:
    """Two threads that used 1.9 cores are predicted faster above 1769 MB, and not above that."""
    limits = grant(1_769)
    advice = advise(
        make_event(limits=limits, run_ms=1_000, cpu_ms=1_000, throttled_ms=900, peak_mb=200)
    )

    assert advice.memory_mb > 1_769
    assert advice.duration_ms is not None
    assert advice.duration_ms < 700


def test_prices() -> None:
    """The list price of a GB second and of a request; a started millisecond is a whole one."""
    assert 2_000 == round_to_billed_us(LAMBDA_X86, 1_001)
    assert 0.000_016_666_7 == price_compute_usd(LAMBDA_X86, 1_024, 1_000_000)
    assert 0.000_016_866_7 == pytest.approx(price_invocation_usd(LAMBDA_X86, 1_024, 1_000_000))


WASTE = Situation(
    reason=Reason.WASTE,
    limit_mb=512,
    peak_mb=45,
    memory_mb=128,
    savings_percent=75.0,
    monthly_usd=3.4,
    run_now_us=450_000,
    run_us=450_000,
)


def test_tips_in_both_languages() -> None:
    """The same facts in the language that was asked for."""
    assert (
        "Resource waste: 512 MB allocated, peak 45 MB. Switch to 128 MB to save $3.40 a month."
        == write_tip(WASTE, "en")
    )
    assert (
        "자원 낭비: 512 MB 할당, 최대 사용량 45 MB. 128 MB로 변경하세요 (월 $3.40 절약)."
        == write_tip(WASTE, "ko")
    )
    assert "128 MB로 변경하세요" in advise(make_event(), language="ko").tip


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("monthly_usd", [None, 0.0001, -0.0001, 1_234.5, -3.4])
def test_every_tip_can_be_written(reason: Reason, monthly_usd: float | None) -> None:
    """Each reason has its sentence in each language, whatever the figures."""
    assert set(Reason) == set(ENGLISH.reasons) == set(KOREAN.reasons)
    for percent in (-400.0, 0.0, 33.3):
        situation = msgspec.structs.replace(
            WASTE, reason=reason, monthly_usd=monthly_usd, savings_percent=percent, run_us=900_000
        )
        for language in ("en", "ko"):
            tip = write_tip(situation, language)
            assert tip.endswith(".")
            assert "--" not in tip
            assert "$-" not in tip
            assert "0.00" not in tip


def test_a_tip_hides_no_fraction_of_a_cent() -> None:
    """What rounds to nothing is told as less than a cent, not as $0.00."""
    tip = write_tip(msgspec.structs.replace(WASTE, monthly_usd=0.0001), "en")

    assert tip.endswith("to save 75 % of the compute price, less than a cent a month.")


def test_stage_answers_with_one_event() -> None:
    """Header, execution and profile are those of the cause."""
    event = make_event()
    tuned, *_ = Tuner().handle(event)

    expected = InvocationTuned(
        event_id=derive_event_id("profiled-1", "InvocationTuned"),
        invocation_id="req-1",
        causation_id="profiled-1",
        occurred_at_ms=1_000,
        execution=event.execution,
        profile=event.profile,
        advice=tuned.advice,
    )
    assert expected == tuned == decode(encode(tuned))


def test_stage_refuses_what_is_not_its_own() -> None:
    """An event of another stream is an error when handled, and passed over when restored."""
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
    tuner = Tuner()
    tuner.restore(stopped)

    with pytest.raises(TypeError, match="SandboxStopped"):
        tuner.handle(stopped)
    assert EMPTY is tuner.state_of("thumb")


def test_a_failure_leaves_the_state_whole() -> None:
    """What raises while it advises has folded nothing in: it can be handled again."""
    # Any failure after the fold will do.
    tuner = Tuner(Adviser(language="xx"))  # type: ignore[arg-type]

    with pytest.raises(KeyError):
        tuner.handle(make_event())
    assert EMPTY is tuner.state_of("thumb")


@st.composite
def events(draw: st.DrawFn) -> InvocationProfiled:
    """Any invocation, of any of three functions."""
    run_ms = draw(st.integers(0, 100_000))
    memory_mb = draw(st.sampled_from([128, 192, 300, 512, 1_769, 3_008, 10_240]))
    fixed = Limits(memory_mb=memory_mb, timeout_ms=1, cpu_quota_us=draw(st.sampled_from([None, 7])))
    return make_event(
        draw(st.integers(1, 10**6)),
        limits=draw(st.sampled_from([grant(memory_mb), fixed])),
        run_ms=run_ms,
        cpu_ms=draw(st.integers(0, 200_000)),
        throttled_ms=draw(st.integers(0, 200_000)),
        peak_mb=draw(st.integers(0, memory_mb)),
        at_ms=draw(st.integers(0, 10**12)),
        function_id=draw(st.sampled_from(["thumb", "resize", "mail"])),
        outcome=draw(st.sampled_from(Outcome)),
        start=draw(st.sampled_from(Start)),
        memory_accuracy=draw(st.sampled_from(Accuracy)),
        oom_kills=draw(st.sampled_from([0, 0, 0, 1])),
        missing=draw(st.sampled_from([(), ("cpu_user_us",), ("throttled_us",)])),
    )


Histories = st.lists(events(), max_size=30)


@given(history=Histories, split=st.integers(0, 30))
def test_incremental_equals_from_zero(history: list[InvocationProfiled], split: int) -> None:
    """A tuner that was restored anywhere in the history goes on with the same bytes."""
    steady, restored = Tuner(), Tuner()
    expected = [encode(steady.handle(event)[0]) for event in history]
    for event in history[:split]:
        restored.restore(decode(encode(event)))
    actual = [encode(restored.handle(event)[0]) for event in history[split:]]

    assert expected[split:] == actual
    for function_id in ("thumb", "resize", "mail"):
        own = [event for event in history if event.execution.function_id == function_id]
        state = fold(own)
        assert msgspec.json.encode(state) == msgspec.json.encode(steady.state_of(function_id))
        assert msgspec.json.encode(fold(own[2:], fold(own[:2]))) == msgspec.json.encode(state)


@given(history=Histories)
def test_the_state_is_bounded(history: list[InvocationProfiled]) -> None:
    """However long the history, what is kept is a few numbers; no state is ever changed."""
    state = FunctionState()
    for event in history:
        before = msgspec.json.encode(state)
        state, earlier = apply(state, event), state
        assert before == msgspec.json.encode(earlier)

    assert len(state.sizes) <= SIZES_MAX
    assert len(state.evidence_ids) <= EVIDENCE_MAX


@given(history=Histories)
def test_every_advice_is_possible_and_safe(history: list[InvocationProfiled]) -> None:
    """A size that exists, within its bounds, above every peak and every size that failed."""
    tuner = Tuner()
    for event in history:
        tuned, *_ = tuner.handle(event)
        advice = tuned.advice
        if advice is None:
            continue
        state = tuner.state_of(event.execution.function_id)
        assert 128 <= advice.memory_mb_min <= advice.memory_mb <= advice.memory_mb_max <= 10_240
        if advice.memory_mb < 10_240:
            assert advice.memory_mb > state.out_of_memory_mb_max
            margin = 135 if state.peak_count < 20 else 125
            assert advice.memory_mb * MIB * 100 >= state.peak_bytes_max * margin
        assert advice.savings_percent < 100
        assert advice.tip
