"""Prices, objectives and findings: against figures that were worked out by hand."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.events import Advice, Confidence, FindingKind, Start
from tests.unit.test_tuner import CPU_BOUND, MIB, advise, grant, make_event
from tuner.adviser import Adviser
from tuner.curve import estimate_curve, predict_interval_us, predict_run_us
from tuner.policy import Policy
from tuner.price_lists import PriceBookError, find_book, make_lambda_book
from tuner.prices import PriceBook, Tier, price_month_usd
from tuner.savings import estimate_billed_us
from tuner.stage import Tuner
from tuner.state import fold

HOUR_MS = 3_600_000


def advise_by(policy: Policy, *events: Any, book: str = "lambda-x86-us-east-1") -> Advice:
    tuner = Tuner(Adviser(policy, find_book(book)))
    advice = [tuner.handle(event)[0].advice for event in events][-1]
    assert advice is not None
    return advice


def evidence_of(advice: Advice, kind: FindingKind) -> str:
    (evidence,) = [finding.evidence for finding in advice.findings if finding.kind is kind]
    return evidence


@pytest.mark.parametrize(
    ("memory_mb", "calls", "billed_us", "expected"),
    [
        # 10 million calls of 128 MB x 8 ms: 10,000 GB-s, and the fee is ten times as much.
        (128, 10_000_000, 8_000, 10_000 * 0.000_016_666_7 + 2.0),
        # 100,000 calls of 1 GB x 2.5 s: 250,000 GB-s.
        (1_024, 100_000, 2_500_000, 250_000 * 0.000_016_666_7 + 0.02),
        # 2 billion calls of 2 GB x 5 s: 20 billion GB-s in three tiers.
        (
            2_048,
            2_000_000_000,
            5_000_000,
            6e9 * 0.000_016_666_7 + 9e9 * 0.000_015 + 5e9 * 0.000_013_333_4 + 400.0,
        ),
    ],
)
def test_the_bill_of_a_month(memory_mb: int, calls: int, billed_us: int, expected: float) -> None:
    """As added up by hand: tiers and request fee included."""
    book = find_book("lambda-x86-us-east-1")

    assert expected == pytest.approx(price_month_usd(book, memory_mb, calls, billed_us), rel=1e-4)


def test_price_lists(tmp_path: Path) -> None:
    """By architecture and region, of hosts, and one's own."""
    assert 0.000_013_333_4 == find_book("lambda-arm64-eu-west-1").gigabyte_second_usd
    assert 0.000_022_92 == find_book("lambda-x86-ap-east-1").gigabyte_second_usd
    assert 7_500_000_000 == make_lambda_book("us-east-1", "arm64").tiers[0].above_gigabyte_seconds
    # A GB hour on Fargate with its part of a vCPU, and on a host that is paid by its memory.
    fargate = find_book("fargate-us-east-1")
    assert 0.040_48 / (1769 / 1024) + 0.004_445 == pytest.approx(fargate.gigabyte_second_usd * 3600)
    assert 26.676 / 4_096 == pytest.approx(find_book("ec2-us-east-1").gigabyte_second_usd * 3600)
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"name": "cellar", "gigabyte_second_usd": 0.000_001, "step_us": 1}))
    assert PriceBook(name="cellar", gigabyte_second_usd=0.000_001, step_us=1) == find_book(str(own))
    own.write_text('{"name": "cellar", "gigabyte_seconds": 1}')
    for name in (str(own), "fargate-nowhere", str(tmp_path / "absent")):
        with pytest.raises(PriceBookError):
            find_book(name)


def test_tiers_begin_where_they_say() -> None:
    """The first gigabyte seconds at the first price, the rest at the next."""
    book = PriceBook(
        name="b",
        gigabyte_second_usd=1.0,
        tiers=(Tier(above_gigabyte_seconds=10, gigabyte_second_usd=0.5),),
    )

    assert 10.0 == pytest.approx(price_month_usd(book, 1_024, 10, 1_000_000))
    assert 12.5 == pytest.approx(price_month_usd(book, 1_024, 15, 1_000_000))


def test_short_calls_are_charged_by_the_mean_of_ceilings() -> None:
    """Calls of 1.2 and 2.9 ms are charged 2 and 3 ms: 2.5 on average, not the ceiling of 2.05."""
    events = [make_event(n, run_ms=1.2 if n % 2 else 2.9, cpu_ms=0.1) for n in range(10)]
    state = fold(events)
    curve = estimate_curve(state.sizes, grant(512))

    assert curve is not None
    book = find_book("lambda-x86-us-east-1")
    assert 2_500 == pytest.approx(estimate_billed_us(state, 512, curve, book))


def test_init_is_billed() -> None:
    """One cold start in ten with 300 ms of init: 30 ms more a call, as long at any size."""
    cold = make_event(0, start=Start.COLD)
    phases = msgspec.structs.replace(cold.execution.phases, init_us=300_000)
    execution = msgspec.structs.replace(cold.execution, phases=phases)
    cold = msgspec.structs.replace(cold, execution=execution)
    state = fold([cold, *(make_event(n) for n in range(1, 10))])
    curve = estimate_curve(state.sizes, grant(512))

    assert curve is not None
    book = find_book("lambda-x86-us-east-1")
    for memory_mb in (128, 512):
        billed_us = estimate_billed_us(state, memory_mb, curve, book)
        assert predict_run_us(curve, memory_mb) + 30_000 == pytest.approx(billed_us)
    unbilled = msgspec.structs.replace(book, init_is_billed=False)
    assert 450_000 == pytest.approx(estimate_billed_us(state, 512, curve, unbilled))


def test_savings_have_a_range() -> None:
    """It is wide after a few calls and narrow after many, and holds the figure told."""
    few, many = (
        advise(*(make_event(n, at_ms=n * 60_000) for n in range(count))) for count in (3, 1_000)
    )

    for advice in (few, many):
        low, high = advice.savings_monthly_usd_min, advice.savings_monthly_usd_max
        assert low is not None
        assert high is not None
        assert advice.savings_monthly_usd is not None
        assert low <= advice.savings_monthly_usd <= high
    assert few.savings_monthly_usd_max is not None
    assert few.savings_monthly_usd is not None
    assert many.savings_monthly_usd_max is not None
    assert many.savings_monthly_usd is not None
    assert few.savings_monthly_usd_max / few.savings_monthly_usd > 1.5
    assert many.savings_monthly_usd_max / many.savings_monthly_usd < 1.2


def test_objectives() -> None:
    """The cheapest, the fastest, half and half, and the cheapest that is fast enough."""
    event = make_event(**CPU_BOUND)
    sizes = {
        objective: advise_by(Policy(objective=objective), event).memory_mb
        for objective in ("cost", "balanced", "speed")
    }
    ceiling = advise_by(Policy(objective="latency", latency_ms_max=1_300), event)

    assert 1_792 == sizes["balanced"] == sizes["speed"]
    assert ceiling.duration_ms_max is not None
    assert ceiling.duration_ms_max <= 1_300
    assert 512 < ceiling.memory_mb < 1_792
    # Nothing is fast enough: as near to it as can be.
    assert 1_792 == advise_by(Policy(objective="latency", latency_ms_max=10), event).memory_mb
    # Caches stay warm near a full core, so that is the cheapest too, by a few percent.
    assert 1_536 == sizes["cost"]
    waiting = make_event(limits=grant(2_048), run_ms=1_000, cpu_ms=100)
    assert 128 == advise_by(Policy(objective="cost"), waiting).memory_mb
    assert advise_by(Policy(objective="speed"), waiting).memory_mb > 256


def test_every_size_seen_corrects_the_curve() -> None:
    """At each size that was run the prediction is what was measured there."""
    events = [
        make_event(n, limits=grant(mb), run_ms=ms, cpu_ms=60, throttled_ms=max(ms - 100, 0))
        for mb, ms in ((256, 500), (1_024, 140))
        for n in range(10)
    ]
    curve = estimate_curve(fold(events).sizes, grant(1_024))

    assert curve is not None
    assert (500_000, 140_000) == (predict_run_us(curve, 256), predict_run_us(curve, 1_024))
    assert 140_000 < predict_run_us(curve, 512) < 500_000
    low_us, high_us = predict_interval_us(curve, 512)
    assert low_us < predict_run_us(curve, 512) < high_us


def test_a_handful_of_runs_does_not_bend_the_curve() -> None:
    """Two runs at another size are passed over while there are many at this one."""
    many = [make_event(n) for n in range(20)]
    odd = [make_event(n, limits=grant(256), run_ms=9_000, cpu_ms=2) for n in (30, 31)]
    state = fold([*odd, *many])
    curve = estimate_curve(state.sizes, grant(512))

    assert curve is not None
    assert predict_run_us(curve, 256) < 500_000


def test_noisy_functions_are_not_known_firmly() -> None:
    """Twenty runs that differ tenfold are no firm ground."""
    noisy = [make_event(n, run_ms=100 if n % 2 else 2_000, cpu_ms=1) for n in range(20)]

    assert Confidence.MEDIUM is advise(*noisy).confidence


def test_a_firm_peak_needs_less_margin() -> None:
    """A third more at first, a quarter from twenty measured peaks on."""
    events = [make_event(n, peak_mb=400) for n in range(20)]

    assert 540 == advise(*events[:19]).memory_mb_min
    assert 500 == advise(*events).memory_mb_min


def test_cpu_findings() -> None:
    """Throttled below a core; bound by it where nothing stops it."""
    throttled = advise(make_event(**CPU_BOUND))
    bound = advise(make_event(limits=grant(1_792), run_ms=580, cpu_ms=578))

    assert "stopped for 71 % of 2000 ms by its share of 0.29 cores; 1.0 were wanted" == evidence_of(
        throttled, FindingKind.CPU_THROTTLED
    )
    assert "kept 1.00 cores busy for 580 ms" == evidence_of(bound, FindingKind.CPU_BOUND)


def test_init_heavy() -> None:
    """Loading takes longer than running."""
    cold = make_event(0, start=Start.COLD)
    phases = msgspec.structs.replace(cold.execution.phases, init_us=900_000)
    execution = msgspec.structs.replace(cold.execution, phases=phases)
    advice = advise(msgspec.structs.replace(cold, execution=execution), make_event(1))

    assert "loading takes 900 ms, a run 450 ms; 50.0 % of the calls are cold starts" == evidence_of(
        advice, FindingKind.INIT_HEAVY
    )


def test_a_leak_is_found() -> None:
    """What is in use between calls grows by 2 MB a call."""
    events = [
        make_event(n, sandbox_id="s1", memory_baseline_bytes=(30 + 2 * n) * MIB) for n in range(12)
    ]

    assert "between calls 30 MB became 52 MB in 12 calls of one sandbox" == evidence_of(
        advise(*events), FindingKind.MEMORY_LEAK
    )


def test_risk_is_quoted_at_the_largest_input() -> None:
    """Where the peak grows with the input, the evidence says how and how far."""
    events = [
        make_event(n, limits=grant(256), peak_mb=40 + 10 * n, input_bytes=n << 20)
        for n in range(1, 21)
    ]

    assert (
        "peak 240 MB of 256 MB (94 %); it grows with the input, by 10.0 bytes for each, "
        "to about 240 MB for the largest seen (20480 KiB)"
        == evidence_of(advise(*events), FindingKind.MEMORY_RISK)
    )
