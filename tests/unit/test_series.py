"""Samples of a long run: few however long it is, and never too much for an event."""

from hypothesis import given
from hypothesis import strategies as st

from executor.invocation import Ending, Invocation, fits
from executor.invocation import finish as finish_invocation
from executor.series import INTERVAL_MS, POINTS_MAX, Samples
from shared.codec import encode
from shared.events import (
    Accuracy,
    Code,
    InvocationFinished,
    InvocationRequested,
    Limits,
    Outcome,
    Readings,
    Runtime,
    Series,
)
from shared.inbox import Delivery
from shared.topology import REQUESTS

MEMORY, CPU = "1073741824\n", "usage_usec 900000000\n"


def run_for(seconds: float) -> Series:
    """What the loop would record of a run of that length."""
    samples, at_us = Samples("memory.current", "cpu.stat"), 200_000
    while at_us < seconds * 1e6:
        samples.add(at_us, MEMORY, CPU)
        at_us += samples.interval_ms * 1_000
    return samples.finish()


def finish(series: Series, output: bytes) -> InvocationFinished:
    """The event of an invocation with such a series and such an output."""
    request = InvocationRequested(
        event_id="e",
        invocation_id="req-1",
        causation_id="c",
        occurred_at_ms=1,
        function_id="f",
        runtime=Runtime.PYTHON,
        handler="main.handler",
        code=Code(bucket="b", key="k"),
        memory_mb=128,
        timeout_ms=900_000,
    )
    text = {f"file-{number}": "x" * 700 for number in range(15)}
    readings = Readings(
        source="cgroup2", accuracy=Accuracy.EXACT, before=text, after=text, series=series
    )
    return finish_invocation(
        Invocation(Delivery(REQUESTS, 0, "1-0", 1, b""), request),
        Ending(outcome=Outcome.SUCCEEDED, output=output, logs="\ufffd" * 16_384, readings=readings),
        limits=Limits(memory_mb=128, timeout_ms=900_000),
        worker_id="w",
        now_ms=1,
    )


@given(st.floats(0.1, 900))
def test_samples_stay_few_and_even(seconds: float) -> None:
    """At most 600, in order, from 200 ms to the end, at most two intervals apart."""
    series = run_for(seconds)
    gaps = {later - earlier for earlier, later in zip(series.at_us, series.at_us[1:], strict=False)}

    assert len(series.at_us) <= POINTS_MAX
    assert len(series.at_us) == len(series.memory) == len(series.cpu)
    assert (seconds > 0.2) == bool(series.at_us)
    assert len(gaps) <= 2
    assert all(gap >= INTERVAL_MS * 1_000 for gap in gaps)


def test_the_longest_run_fits_an_event() -> None:
    """Fifteen minutes take some 30 KiB."""
    series = run_for(900)

    assert len(series.at_us) > POINTS_MAX // 2
    assert len(encode(finish(series, b"null"))) - len(encode(finish(run_for(0), b"null"))) < 36_000


def test_a_series_gives_way_to_the_answer() -> None:
    """Where both do not fit, the answer does; all else stays."""
    whole = finish(run_for(900), b"null")
    full = finish(run_for(900), b'"' + b"x" * 131_000 + b'"' + b" " * 40_000)

    assert whole.readings is not None
    assert whole.readings.series is not None
    assert full.readings is not None
    assert full.readings.series is None
    assert full.readings.before == whole.readings.before
    assert fits([full])
