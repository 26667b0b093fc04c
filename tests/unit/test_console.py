"""The console's figures: windows, axes, stages, words, who may do what. No server, no browser."""

import re
from collections import Counter
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.access import Access, is_loopback, is_same_origin
from console.charts import Chart, Dot, Line, Tick, draw, make_decades, make_scale
from console.gauges import parse
from console.projection import INVOCATIONS_MAX, Projection
from console.stages import count_backlog, list_stages
from console.window import (
    BUCKET_MS,
    BUCKETS,
    Window,
    add_up,
    find_class,
    find_percentile_us,
)
from console.words import cut, describe_bytes, describe_percent, describe_us, describe_usd
from shared.events import (
    Code,
    Execution,
    InvocationFinished,
    InvocationProfiled,
    InvocationRequested,
    InvocationTuned,
    Limits,
    Outcome,
    Phases,
    Profile,
    Runtime,
    Start,
)
from shared.tail import GroupState, Place
from shared.topology import EXECUTIONS, PROFILES, RECOMMENDATIONS, REQUESTS, stream_of

NOW_MS = 1_795_488_000_000


# --- The window ----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_within_its_class(lengths: list[int], share: float) -> None:
    """Off by less than the width of a class from the true one."""
    found = find_percentile_us(Counter(find_class(one) for one in lengths), share)

    ordered = sorted(lengths)
    true = ordered[ceil(len(ordered) * share) - 1]
    assert found is not None
    assert true / 1.06 <= found <= true * 1.06


@given(st.lists(st.integers(0, 3 * BUCKETS * BUCKET_MS), max_size=60))
def test_the_window_forgets_what_is_older_and_has_no_gaps(ages: list[int]) -> None:
    """Whatever the order in which things end."""
    window = Window()
    for age in ages:
        window.add(NOW_MS - age, 1_000, failed=False, cold=False)

    buckets = window.list_buckets(NOW_MS)
    assert [BUCKET_MS] * (BUCKETS - 1) == [
        later.begins_ms - earlier.begins_ms for earlier, later in pairwise(buckets)
    ]
    first = NOW_MS - NOW_MS % BUCKET_MS - (BUCKETS - 1) * BUCKET_MS
    expected = sum(NOW_MS - age >= first for age in ages)
    assert expected == sum(one.ended for one in buckets) == sum(add_up(buckets).values())


# --- The projection ------------------------------------------------------------------------------


def make_events(number: int) -> list[Any]:
    """What the log has of one invocation, in its order."""
    execution = Execution(
        function_id="thumb",
        outcome=Outcome.FAILED if number % 5 == 0 else Outcome.SUCCEEDED,
        requested_at_ms=NOW_MS,
        start=Start.WARM,
        limits=Limits(memory_mb=256, timeout_ms=1_000),
        phases=Phases(queued_us=500, run_us=2_000),
    )
    name = f"req-{number}"
    rest: dict[str, Any] = {"execution": execution, "profile": Profile()}
    header: dict[str, Any] = {
        "invocation_id": name, "causation_id": "c", "occurred_at_ms": NOW_MS + 3,
    }  # fmt: skip
    return [
        InvocationRequested(
            event_id=f"a{number}", invocation_id=name, causation_id="m", occurred_at_ms=NOW_MS,
            function_id="thumb", runtime=Runtime.PYTHON, handler="h",
            code=Code(bucket="b", key="k"), memory_mb=256, timeout_ms=1_000,
        ),
        InvocationFinished(event_id=f"b{number}", execution=execution, **header),
        InvocationProfiled(event_id=f"c{number}", **rest, **header),
        InvocationTuned(event_id=f"d{number}", **rest, **header),
    ]  # fmt: skip


def feed(projection: Projection, events: list[Any]) -> None:
    for number, event in enumerate(events):
        projection.apply(Place(stream_of(type(event).__name__), 0), f"{NOW_MS}-{number}", event)


@given(st.permutations(make_events(1) + make_events(5)))
def test_the_order_between_streams_does_not_matter(events: list[Any]) -> None:
    """Each invocation counts once, by the first event that tells how it ended."""
    projection = Projection()
    feed(projection, events)

    function = projection.functions["thumb"]
    assert (2, 1, 0) == (function.invocations, function.failed, function.cold)
    assert 2 == sum(one.ended for one in projection.window.list_buckets(NOW_MS + 10))
    row = projection.invocations["req-1"]
    assert (Outcome.SUCCEEDED, 2_500, 256) == (row.outcome, row.total_us, row.memory_mb)
    assert {REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS} == {
        place.stream for place, _ in row.entries
    }


def test_what_is_remembered_is_bounded() -> None:
    """The newest invocations stay."""
    projection = Projection()
    for number in range(INVOCATIONS_MAX + 100):
        feed(projection, make_events(number)[1:2])

    assert INVOCATIONS_MAX == len(projection.invocations)
    assert "req-99" not in projection.invocations
    assert f"req-{INVOCATIONS_MAX + 99}" == projection.list_recent(limit=1)[0].request_id


# --- Stages --------------------------------------------------------------------------------------


def group(lag: int | None = 0, pending: int = 0, *idle_ms: int) -> GroupState:
    return GroupState(Place(REQUESTS, 0), 10, lag, pending, idle_ms)


@pytest.mark.parametrize(
    ("state", "waits", "level", "told"),
    [
        (group(0, 1, 400), {}, "good", "keeps up"),
        (group(5_000, 1, 400), {}, "busy", "5,000 behind"),
        (group(0, 0, 99_000), {}, "bad", "nobody reads it: is it started?"),
        (group(0, 0, 400), {"executor": ["s3"]}, "bad", "waits for s3"),
        (group(None, 0, 400), {}, "good", "reads"),
    ],
)
def test_a_stage_is_judged(
    state: GroupState, waits: dict[str, list[str]], level: str, told: str
) -> None:
    """By who reads, how far, and what is waited for."""
    executor = list_stages([state], waits, 15_000)[0]

    assert ("executor", level, told) == (executor.name, executor.level, executor.state)


def test_stages_that_were_never_started_are_named() -> None:
    """An empty Redis has no groups."""
    stages = list_stages([], {}, 15_000)

    assert ["bad"] * 5 == [one.level for one in stages]
    assert 7 == count_backlog([group(5, 2), group(None, 0)])


def test_the_metrics_tell_of_waits_and_sandboxes() -> None:
    """Only what is above zero is waited for."""
    reading = parse(
        'hearth_waiting{dependency="s3",stage="executor"} 1.0\n'
        'hearth_waiting{dependency="redis",stage="tuner"} 0.0\n'
        'hearth_sandboxes{state="idle"} 3.0\n'
    )

    assert ({"executor": ["s3"]}, {"idle": 3}) == (reading.waits, reading.sandboxes)


# --- Charts and words ----------------------------------------------------------------------------


@given(st.floats(1e-3, 1e9))
def test_a_scale_ends_just_above_the_highest(highest: float) -> None:
    """With two to five round steps."""
    scale = make_scale(highest)

    assert scale[0] == 0
    assert highest <= scale[-1] * (1 + 1e-9)
    assert scale[-2] < highest * (1 + 1e-9)
    assert 2 <= len(scale) <= 5


def test_decades_hold_both_ends() -> None:
    """A logarithmic axis from power to power."""
    ticks, place = make_decades(700, 120_000, str)

    assert ["100.0", "1000.0", "10000.0", "100000.0", "1000000.0"] == [one.text for one in ticks]
    assert (0.0, 0.5, 1.0) == (place(100), place(10_000), place(1_000_000))


def test_a_chart_escapes_its_texts_and_needs_no_style() -> None:
    """Untrusted names; the policy of the pages forbids style attributes."""
    chart = Chart(text='"<b>', left=[Tick(0, "<i>")], dots=[Dot("x", 0.5, 0.5, "<script>")],
                  lines=[Line("x", [(0, 0), (1, 2)])])  # fmt: skip

    drawn = str(draw(chart))

    assert not re.search(r"<(b|i|script)>|style=", drawn)
    assert "0,1000 1000,0" in drawn


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (describe_us(320), "320 µs"),
        (describe_us(4_213), "4.21 ms"),
        (describe_us(1_240_000), "1.24 s"),
        (describe_us(200_000_000), "3 min 20 s"),
        (describe_bytes(20 << 20), "20.0 MB"),
        (describe_usd(-3.4), "\N{MINUS SIGN}$3.40"),
        (describe_usd(0.001), "≈ $0.00"),
        (describe_percent(-75.2), "\N{MINUS SIGN}75 %"),
        (describe_percent(0.04), "0 %"),
        (str(cut("<abc>", 4))[:7], "&lt;abc"),
    ],
)
def test_figures_in_words(told: str, expected: str) -> None:
    """With digits that mean something, and a unit."""
    assert expected == told


# --- Access --------------------------------------------------------------------------------------


def test_without_a_token_only_the_loopbacks_names_are_let_in() -> None:
    """Another name that leads here is a page of the web that tries."""
    access = Access()

    assert access.admits("localhost:8001", "")
    assert access.admits("[::1]:8001", "")
    assert not access.admits("evil.example:8001", "")
    assert not access.admits("localhost:80@evil.example", "")
    assert not access.admits("", "")
    assert not access.opens("")


def test_with_a_token_only_its_cookie_is_let_in() -> None:
    """Under any name; another token has another cookie, and neither is shown in a repr."""
    access = Access("a-token-of-somebody")

    assert access.admits("evil.example", access.cookie)
    assert not access.admits("localhost", "")
    assert not access.admits("localhost", "a-token-of-somebody")
    assert not access.admits("localhost", Access("another-token-of-his").cookie)
    assert Access("a-token-of-somebody").cookie == access.cookie
    assert "token" not in repr(access).replace("Access", "")
    assert access.believes(access.form_key)
    assert not access.believes(Access("a-token-of-somebody").form_key)


@pytest.mark.parametrize(
    ("origin", "site", "same"),
    [
        ("http://localhost:8001", None, True),
        ("http://localhost:8001", "same-origin", True),
        ("http://localhost:8001", "same-site", False),
        ("http://localhost:8002", None, False),
        ("null", None, False),
        (None, "same-origin", False),
    ],
)
def test_a_form_comes_from_the_console_itself(
    origin: str | None, site: str | None, same: bool
) -> None:
    """As the browser tells; silence is not enough."""
    assert same == is_same_origin(origin, site, "localhost:8001")


def test_which_addresses_others_can_reach() -> None:
    """Those demand a token."""
    assert [True, True, True, False, False, False] == [
        is_loopback(one) for one in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "10.0.0.1")
    ]
