"""For how long an idle sandbox is kept, and when one is started ahead. Pure, no clock.

Each rule is a value with one decision, `decide_window`. `policy` joins it with one of eviction.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from executor.arrivals import BIN_MS, Conclusion, Gaps, Window

FOREVER_MS = 1 << 60
TEN_MINUTES_MS = 600_000
TWO_HOURS_MS = 7_200_000


class KeepAlive(Protocol):
    """A rule that turns recorded gaps into a window."""

    def decide_window(self, gaps: Gaps, memory_mb: int, cold_mb_s: float) -> Window:
        """The window for a sandbox of that size whose level had those gaps."""
        ...


@dataclass(frozen=True, slots=True)
class FixedKeepAlive:
    """The same time for everything, as on AWS (about ten minutes)."""

    keep_ms: int = TEN_MINUTES_MS

    def decide_window(self, gaps: Gaps, memory_mb: int, cold_mb_s: float) -> Window:  # noqa: ARG002
        """The fixed time, whatever was recorded."""
        return Window(0, self.keep_ms)


@dataclass(frozen=True, slots=True)
class HybridHistogram:
    """Serverless in the Wild (ATC'20) as FaasCache's simulator has it; formulae in decide_window.

    Published for a function as a whole; applied to each of its levels here.
    """

    prewarm: bool = True
    head: float = 0.05
    tail: float = 0.99
    margin: float = 0.1
    dispersion_max: float = 2.0
    gaps_min: int = 2
    fallback_ms: int = TWO_HOURS_MS

    def decide_window(self, gaps: Gaps, memory_mb: int, cold_mb_s: float) -> Window:  # noqa: ARG002
        """From the 5th percentile - 10 % until the 99th + 10 %; fixed where that says nothing.

        It says nothing where the variance of the gaps in minutes is more than twice their mean.
        Gaps beyond the histogram are left out, as there.
        """
        seen = gaps.weight - gaps.beyond
        if (
            gaps.recorded < self.gaps_min
            or seen <= 0
            or find_dispersion(gaps) > self.dispersion_max
        ):
            return Window(0, self.fallback_ms)
        from_ms = int(find_quantile(gaps, self.head) * BIN_MS * (1 - self.margin))
        until_ms = int((find_quantile(gaps, self.tail) + 1) * BIN_MS * (1 + self.margin))
        return Window(from_ms if self.prewarm else 0, until_ms)


@dataclass(frozen=True, slots=True)
class BalancedHistogram:
    """The window with the least expected cost: idle memory, and a price for each cold start.

    The price is learnt (`arrivals.Price`), or fixed where one is given.
    For arrivals without a pattern this keeps what comes back often and lets go of what does not,
    which is the best that can be done with them; for a timer it starts one just before.
    """

    fixed_price_mb_s: float = 0.0  # idle MB-seconds that one cold start less is worth; 0: as learnt
    prewarm: bool = True
    gaps_min: int = 3
    fallback_ms: int = TEN_MINUTES_MS

    def decide_window(self, gaps: Gaps, memory_mb: int, cold_mb_s: float) -> Window:
        """The cheapest window over the recorded gaps; a fixed time while there are too few."""
        if gaps.recorded < self.gaps_min:
            return Window(0, self.fallback_ms)
        price = (self.fixed_price_mb_s or cold_mb_s) * 1_000 / (memory_mb * BIN_MS)  # in minutes
        minutes = sorted(gaps.counts)
        starts = find_starts(gaps) if self.prewarm else (0,)
        _, start, end = min(
            cost for start in starts for cost in estimate_costs(gaps, minutes, start, price)
        )
        return Window(start * BIN_MS, end * BIN_MS)


def conclude_window(rule: KeepAlive, gaps: Gaps, memory_mb: int, cold_mb_s: float) -> Window:
    """The rule's window, decided anew when a sixteenth more gaps are there or the price moved."""
    known = gaps.conclusion
    if (
        known is not None
        and gaps.recorded <= known.recorded_max
        and memory_mb == known.memory_mb
        and 0.9 < cold_mb_s / known.cold_mb_s < 1.1
    ):
        return known.window
    window = rule.decide_window(gaps, memory_mb, cold_mb_s)
    recorded_max = gaps.recorded + gaps.recorded // 16
    gaps.conclusion = Conclusion(window, memory_mb, cold_mb_s, recorded_max)
    return window


Cost = tuple[float, int, int]


def estimate_costs(gaps: Gaps, minutes: list[int], start: int, price: float) -> Iterator[Cost]:
    """The cost of each window from minute `start` until after one of `minutes`; or of none at all.

    In idle minutes: a gap in minute m costs m + 1/2 - start where the window covers it, and
    otherwise the price of a cold start and the whole window, where that was there in vain.
    """
    yield gaps.weight * price, 0, 0
    left = gaps.weight - sum(gaps.counts[minute] for minute in minutes if minute < start)
    early = (gaps.weight - left) * price
    idle = 0.0
    for minute in minutes:
        if minute < start:
            continue
        count = gaps.counts[minute]
        left -= count
        idle += count * (minute + 0.5 - start)
        yield early + idle + left * (minute + 1 - start + price), start, minute + 1


def find_starts(gaps: Gaps) -> Iterable[int]:
    """Minutes worth a look as the begin of a window: a little before the shorter gaps."""
    quantiles = [find_quantile(gaps, share) for share in (0.0, 0.05, 0.1, 0.25, 0.5)]
    return {0, *(int(minute * 0.9) for minute in quantiles), *(max(m - 1, 0) for m in quantiles)}


def find_quantile(gaps: Gaps, share: float) -> int:
    """The minute in which that share of the gaps is reached; those beyond are left out."""
    minutes = sorted(gaps.counts)
    wanted = (gaps.weight - gaps.beyond) * share
    reached = accumulate(gaps.counts[minute] for minute in minutes)
    return next((m for m, sum_ in zip(minutes, reached, strict=True) if sum_ >= wanted), 0)


def find_dispersion(gaps: Gaps) -> float:
    """Variance by mean of the gaps in minutes; those beyond are left out."""
    weight = gaps.weight - gaps.beyond
    mean = sum((minute + 0.5) * count for minute, count in gaps.counts.items()) / weight
    squares = sum((minute + 0.5 - mean) ** 2 * count for minute, count in gaps.counts.items())
    return squares / weight / mean
