"""The rules of keeping and evicting, against figures worked out by hand."""

from hypothesis import given
from hypothesis import strategies as st

from executor.arrivals import BIN_MS, BINS, FunctionArrivals, Gaps, Window
from executor.keep_alive import (
    FOREVER_MS,
    BalancedHistogram,
    FixedKeepAlive,
    HybridHistogram,
    conclude_window,
    estimate_costs,
    find_dispersion,
    find_quantile,
)
from executor.policy import GreedyDual, LeastRecentlyUsed, PolicyName, choose_policy

PRICE = 76_800.0  # ten minutes of 128 MB


def gaps_of(*minutes: int) -> Gaps:
    gaps = Gaps()
    for minute in minutes:
        gaps.record(minute * BIN_MS)
    return gaps


gaps_lists = st.lists(st.integers(0, BINS + 50), min_size=1, max_size=60)


def test_fixed_is_ten_minutes_whatever_came() -> None:
    assert Window(0, 600_000) == FixedKeepAlive().decide_window(gaps_of(1, 200), 128, PRICE)


def test_the_histogram_of_a_timer_starts_ahead() -> None:
    """Every 30 minutes: from 30 x 0.9 until 31 x 1.1 minutes."""
    window = HybridHistogram().decide_window(gaps_of(*[30] * 20), 128, PRICE)

    assert Window(27 * BIN_MS, int(34.1 * BIN_MS)) == window


def test_the_histogram_keeps_from_the_start_where_nothing_can_be_started_ahead() -> None:
    window = HybridHistogram(prewarm=False).decide_window(gaps_of(*[30] * 20), 128, PRICE)

    assert Window(0, int(34.1 * BIN_MS)) == window


def test_the_histogram_falls_back_without_a_pattern() -> None:
    """Mean (1 + 100) / 2 + 1/2 = 51, variance 49.5 squared: 48 times the mean."""
    scattered = gaps_of(1, 100)

    assert 49.5**2 / 51 == find_dispersion(scattered)
    assert Window(0, 7_200_000) == HybridHistogram().decide_window(scattered, 128, PRICE)


def test_the_histogram_falls_back_where_all_gaps_are_beyond_it() -> None:
    window = HybridHistogram().decide_window(gaps_of(BINS, BINS + 1), 128, PRICE)

    assert Window(0, 7_200_000) == window


def test_quantiles_leave_out_what_is_beyond() -> None:
    gaps = gaps_of(1, 2, 3, 4, 300)

    assert [1, 1, 2, 4] == [find_quantile(gaps, share) for share in (0.0, 0.25, 0.5, 1.0)]


def test_balanced_keeps_what_is_worth_its_memory() -> None:
    """Nine gaps of 2 minutes, one of 100. A cold start is worth 10 minutes.

    Kept for 3 minutes: 9 x 2.5 + 3 + 10 = 35.5. Not at all: 100. For 101: 22.5 + 100.5 = 123.
    """
    rule = BalancedHistogram(prewarm=False)
    gaps = gaps_of(*[2] * 9, 100)
    costs = list(estimate_costs(gaps, [2, 100], 0, 10.0))

    assert [(100.0, 0, 0), (35.5, 0, 3), (123.0, 0, 101)] == costs
    assert Window(0, 3 * BIN_MS) == rule.decide_window(gaps, 128, PRICE)


def test_balanced_lets_go_of_what_comes_back_too_late() -> None:
    """Twenty minutes of waiting for a cold start that is worth ten; for half the memory it pays."""
    rule, gaps = BalancedHistogram(prewarm=False), gaps_of(19, 19, 19, 19)

    assert Window(0, 0) == rule.decide_window(gaps, 128, PRICE)
    assert Window(0, 20 * BIN_MS) == rule.decide_window(gaps, 48, PRICE)


def test_balanced_starts_a_timer_ahead() -> None:
    """One that comes each hour: gone at once, there from minute 59 until 61."""
    window = BalancedHistogram().decide_window(gaps_of(*[60] * 5), 128, PRICE)

    assert Window(59 * BIN_MS, 61 * BIN_MS) == window


def test_balanced_is_fixed_while_little_is_known() -> None:
    assert Window(0, 600_000) == BalancedHistogram().decide_window(gaps_of(60, 60), 128, PRICE)


@given(gaps_lists, st.integers(128, 10_240), st.floats(1e3, 1e7), st.booleans())
def test_a_window_is_never_upside_down(
    minutes: list[int], memory_mb: int, price: float, prewarm: bool
) -> None:
    """It begins before it ends, and at once where nothing can be started ahead."""
    gaps = gaps_of(*minutes)
    for rule in (HybridHistogram(prewarm=prewarm), BalancedHistogram(prewarm=prewarm)):
        window = rule.decide_window(gaps, memory_mb, price)

        assert 0 <= window.from_ms <= window.until_ms <= FOREVER_MS
        assert prewarm or window.from_ms == 0


@given(gaps_lists, st.floats(0.1, 1_000))
def test_balanced_finds_the_cheapest_of_all_ends(minutes: list[int], price: float) -> None:
    """Counted gap by gap, no other end costs less."""
    gaps = gaps_of(*minutes)
    rule = BalancedHistogram(price * 128 * 60, prewarm=False, gaps_min=1)
    chosen = rule.decide_window(gaps, 128, 1.0).until_ms // BIN_MS

    def cost(end: int) -> float:
        return sum(m + 0.5 if m < end else end + price for m in minutes)

    assert cost(chosen) <= min(cost(end) for end in range(BINS + 1)) + 1e-6


def test_more_is_kept_for_a_higher_price() -> None:
    gaps = gaps_of(*range(0, 200, 3))
    ends = [
        BalancedHistogram(prewarm=False).decide_window(gaps, 128, price).until_ms
        for price in (1e3, 1e5, 1e6, 1e7)
    ]

    assert sorted(ends) == ends
    assert ends[0] < ends[-1]


def test_a_conclusion_holds_until_there_is_more_to_go_by() -> None:
    """Not for another size, not for another price."""
    rule, gaps = BalancedHistogram(prewarm=False), gaps_of(*[2] * 32)
    first = conclude_window(rule, gaps, 128, PRICE)
    gaps.record(200 * BIN_MS)

    assert conclude_window(rule, gaps, 128, PRICE * 1.05) is first
    assert conclude_window(rule, gaps, 256, PRICE) is not first


def test_greedy_dual_is_clock_and_worth() -> None:
    """Clock 5, used 3 times, 200 ms for a cold start, 128 MB."""
    function = FunctionArrivals(uses=3, cold_ms=200.0)

    assert 5 + 3 * 200 / 128 == GreedyDual().rank(function, 128, 5.0)
    assert 0.0 == LeastRecentlyUsed().rank(function, 128, 5.0)


def test_every_name_has_its_policy() -> None:
    names: list[PolicyName] = ["balanced", "fixed", "histogram", "greedy_dual"]

    assert 4 == len({repr(choose_policy(name, prewarm=False)) for name in names})
