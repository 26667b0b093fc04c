"""The scoring of the tuner's models, and the models that only the scoring shows."""

import json
from pathlib import Path

import pytest

from bench import tuning
from bench.measured import Run, format_row, format_run, is_usable, read_runs
from bench.tuning_curves import pick_three, pick_two, read_curves, try_curves
from bench.tuning_measured import group, score_measured
from bench.tuning_scores import Trial
from tuner.anatomy import dissect, predict_us
from tuner.bandwidth import Work, estimate_stall_us, grant_quota_us
from tuner.knee import fit_knee, logarithm, predict

PERIOD_US = 20_000
HEADINGS = "dataset,function,group,memory_mb,duration_mean_ms,duration_median_ms,max_memory_used_mb"


def make_run(memory_mb: int, cpu_us: int = 40_000, waiting_us: int = 0, **changes: object) -> Run:
    """A run of a single-threaded function with one burst, as the kernel would have it."""
    quota_us = grant_quota_us(memory_mb, PERIOD_US)
    stall_us = round(estimate_stall_us(Work(cpu_us, waiting_us), quota_us, PERIOD_US))
    run_us = cpu_us + waiting_us + stall_us
    values = dict.fromkeys(Run.__struct_fields__, 0) | {
        "function": "f",
        "family": "cpu",
        "runtime": "python",
        "memory_mb": memory_mb,
        "quota_us": quota_us,
        "period_us": PERIOD_US,
        "round": 1,
        "run_us": run_us,
        "cpu_user_us": cpu_us,
        "throttled_us": stall_us,
        "delay_us": stall_us,
    }
    return Run(**values | changes)  # type: ignore[arg-type]


def test_a_file_of_curves_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Curves that follow the model are predicted exactly, and the best size is hit."""
    knee = fit_knee({256: 500.0, 1024: 220.0})
    rows = [HEADINGS]
    for size in (128, 256, 512, 1024, 1536):
        rows.append(f"made,knee,g,{size},{predict(knee, size)},,")
        rows.append(f"made,flat,g,{size},100,100,")
    file = tmp_path / "curves.csv"
    file.write_text("\n".join(rows))

    assert 0 == tuning.main(["--curves", str(file), "--json"])
    two, three = json.loads(capsys.readouterr().out)["scores"]
    assert (2, 6, 0.0, 0.0, 100.0) == (
        two["trials"], two["predictions"], two["error_mean"], two["regret_mean"], two["hit_rate"],
    )  # fmt: skip
    assert 100.0 == three["hit_rate"]
    assert 2 == len(read_curves(file))
    assert 0 == tuning.main(["--curves", str(file)])
    assert "two sizes" in capsys.readouterr().out


def test_sizes_that_are_picked() -> None:
    """Near 256 and 1024 MB, or the first two; the ends and the one after the first third."""
    assert [256, 1024] == pick_two([128, 256, 512, 1024, 2048])
    assert [1024, 2048] == pick_two([1024, 2048, 4096])
    assert [128, 512, 2048] == pick_three([128, 256, 512, 1024, 2048])


def test_regret_is_what_the_choice_costs_more() -> None:
    """Half as fast at double the size costs four times, apart from the fee."""
    actual = {1024: 1_000.0, 2048: 2_000.0}
    wrong = Trial("f", frozenset([1024]), {1024: 1_000.0, 2048: 400.0}, actual)

    assert pytest.approx(3.0, rel=0.05) == wrong.regret
    assert [pytest.approx(0.8)] == wrong.errors
    assert 0.0 == wrong._replace(predicted=actual).regret
    assert 0.0 == wrong._replace(doubt=2.0).regret


def test_a_knee_passes_through_what_was_seen() -> None:
    """Whatever was measured, at the sizes seen it is that; a single size predicts flat."""
    seen = {128: 900.0, 512: 700.0, 2048: 750.0}
    knee = fit_knee(seen)

    assert seen == pytest.approx({size: predict(knee, size) for size in seen})
    assert 100.0 == pytest.approx(predict(fit_knee({512: 100.0}), 4096))
    assert try_curves({"f": seen}, pick_two, 1.0)[0].seen == {128, 512}
    assert 2.302585092994046 == pytest.approx(logarithm(10.0), abs=1e-12)


def test_disturbed_runs_do_not_count() -> None:
    """The first call, a busy host, a wait for a core: not used. Slow ones are."""
    assert is_usable(make_run(256))
    assert not is_usable(make_run(256, round=0))
    assert not is_usable(make_run(256, others_us=10_000_000))
    assert not is_usable(make_run(256, delay_us=1_000_000))
    assert not is_usable(make_run(256, stolen_us=20_000))
    slow = make_run(256, waiting_us=5_000_000)
    assert is_usable(slow)


def test_a_file_of_measurements_is_scored(tmp_path: Path) -> None:
    """Runs come back as they were written; functions that obey the kernel are predicted."""
    runs = [
        make_run(size, 40_000 + 10_000 * number, function=f"f{number}", family=f"family{number}")
        for number in range(3)
        for size in (128, 256, 512, 1769)
        for _ in range(12)
    ]
    file = tmp_path / "measured.csv"
    text = "# made by a test\n" + format_row(Run.__struct_fields__) + "".join(map(format_run, runs))
    file.write_text(text)
    large = score_measured(group(list(read_runs(file))))[0]

    assert runs == list(read_runs(file))
    assert large.error_mean < 3.0
    assert large.regret_mean < 2.0


@pytest.mark.parametrize("base", [128, 256, 512, 1024, 1769, 2560])
@pytest.mark.parametrize("bursts", [1.0, 6.0, 24.0])
def test_the_anatomy_finds_the_bursts(base: int, bursts: float) -> None:
    """What a size shows is enough to predict others; where nothing was stopped, roughly."""
    work = Work(60_000.0, 90_000.0, bursts=bursts)
    stalls = {
        size: estimate_stall_us(work, grant_quota_us(size, PERIOD_US), PERIOD_US)
        for size in (128, 256, 512, 1024, 1769, 2560)
    }
    anatomy = dissect(base, PERIOD_US, 150_000 + stalls[base], (60_000.0, stalls[base]))
    tolerance = 0.12 if stalls[base] > 1_500 else 0.5
    for size, stall_us in stalls.items():
        assert pytest.approx(150_000 + stall_us, rel=tolerance) == predict_us(anatomy, size)
