"""What is recorded of arrivals: levels, gaps, the price."""

from hypothesis import given
from hypothesis import strategies as st

from executor.arrivals import BINS, Arrivals, FunctionArrivals, Gaps, Price, Release, Window

TEN_MINUTES = Window(0, 600_000)


def end(function: FunctionArrivals, now_ms: int) -> None:
    function.end()
    function.released.append(Release(now_ms, 128, TEN_MINUTES))


def test_each_level_has_its_own_gaps() -> None:
    """Two at once, then one, then two again: the second was not needed for longer."""
    function, price = FunctionArrivals(), Price()
    function.begin(0, price)
    function.begin(10_000, price)
    end(function, 60_000)  # the second level
    end(function, 120_000)  # the first
    function.begin(240_000, price)  # after 2 minutes
    function.begin(360_000, price)  # after 5

    assert {2: 1.0} == function.levels[0].counts
    assert {5: 1.0} == function.levels[1].counts


def test_a_gap_beyond_the_histogram_is_counted_apart() -> None:
    """Four hours and more have no bin."""
    gaps = Gaps()
    gaps.record(BINS * 60_000 - 1)
    gaps.record(BINS * 60_000)

    assert ({BINS - 1: 1.0}, 1.0, 2.0) == (gaps.counts, gaps.beyond, gaps.weight)


def test_the_past_fades() -> None:
    """After a thousand gaps of one minute, a thousand of ten count more."""
    gaps = Gaps()
    for minute in (1, 10):
        for _ in range(1_000):
            gaps.record(minute * 60_000)

    assert gaps.counts[10] > gaps.counts[1]
    assert gaps.weight == sum(gaps.counts.values()) + gaps.beyond
    assert gaps.recorded == 2_000


def test_the_price_falls_when_more_is_spent_than_a_fixed_time_costs() -> None:
    """A window of an hour for a gap of an hour; and one of nothing at all."""
    spender, miser = Price(), Price()
    before = spender.cold_mb_s
    spender.learn(Release(0, 128, Window(0, 3_600_000)), 3_600_000)
    miser.learn(Release(0, 128, Window(0, 0)), 3_600_000)

    assert spender.cold_mb_s < before < miser.cold_mb_s


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(128, 10_240))))
def test_the_price_stays_within_bounds(gaps: list[tuple[int, int, int]]) -> None:
    """Whatever comes."""
    price = Price()
    for gap_ms, until_ms, memory_mb in gaps:
        price.learn(Release(0, memory_mb, Window(0, until_ms)), gap_ms)

    assert 1_000 <= price.cold_mb_s <= 10_000_000


def test_functions_are_forgotten_but_not_those_with_sandboxes() -> None:
    """The least recently used goes first."""
    arrivals = Arrivals(functions_max=3)
    for name in ("held", "old", "newer"):
        arrivals.of(name).begun = 1
    arrivals.of("held").alive = 1
    arrivals.of("old")
    arrivals.of("newer")
    arrivals.of("newest").begun = 1
    arrivals.of("last").begun = 1

    assert (1, 0, 1) == tuple(arrivals.of(name).begun for name in ("held", "old", "last"))


def test_the_cost_of_a_cold_start_follows_the_newest() -> None:
    """100 ms, then twice 300 ms."""
    function = FunctionArrivals()
    function.record_cold(100)
    function.record_cold(300)
    function.record_cold(300)

    assert 187.5 == function.cold_ms
