"""Recorded arrivals: how long the sandboxes of each function were not needed between two uses.

Reuse is last in, first out, so the sandboxes of a function form levels: level k is needed while k
or more invocations run at once. How long a level was not needed follows from the arrivals alone,
not from what the pool kept or evicted: it is the same gap whether it ended warm or cold.

Not here: what to conclude from the gaps (`keep_alive`). No clock: times are parameters.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

BIN_MS = 60_000
BINS = 240  # four hours; a longer gap is `beyond`
_WEIGHT_MAX = 1_024.0  # then the past counts half: a function may change its ways
_FUNCTIONS_MAX = 4_096
_COST_SHARE = 0.25  # of the newest cold start in the remembered one
_MEAN_SHARE = 0.01  # of the newest gap in the running mean
_PRICE_STEP = 0.003  # of the price, for a gap that cost nothing or twice the usual
_PRICE_STEP_FIRST = 1.0  # added to it for the first gap, half of that for the second, and so on
_STEP_MAX = 0.3  # e to that power is the most that one gap does to the price
_PRICE_MIN = 1_000.0
_PRICE_MAX = 10_000_000.0


@dataclass(frozen=True, slots=True)
class Window:
    """When a sandbox should be there, in ms after its last use.

    `from_ms` 0 keeps the one that is there; otherwise it goes and another is started then.
    """

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was concluded from gaps for a size at a price, and up to how many of them it holds."""

    window: Window
    memory_mb: int
    cold_mb_s: float
    recorded_max: int


@dataclass(slots=True)
class Gaps:
    """A histogram of gaps: `counts` by minute, `beyond` the last one."""

    counts: dict[int, float] = field(default_factory=dict)
    beyond: float = 0.0
    weight: float = 0.0  # of all of them, `beyond` included
    recorded: int = 0  # never halved
    conclusion: Conclusion | None = None  # the latest, so that not every use computes it

    def record(self, gap_ms: int) -> None:
        """One more gap."""
        minute = gap_ms // BIN_MS
        if minute < BINS:
            self.counts[minute] = self.counts.get(minute, 0.0) + 1.0
        else:
            self.beyond += 1.0
        self.weight += 1.0
        self.recorded += 1
        if self.weight >= _WEIGHT_MAX:
            self._halve()

    def _halve(self) -> None:
        self.counts = {minute: count / 2 for minute, count in self.counts.items()}
        self.beyond /= 2
        self.weight /= 2


@dataclass(frozen=True, slots=True)
class Release:
    """A level is not needed any more, and what was decided for its sandbox."""

    at_ms: int
    memory_mb: int
    window: Window


@dataclass(slots=True)
class Price:
    """What one cold start less is worth, so that no more is spent than by a fixed keep-alive.

    Every gap that ends shows what the windows cost and what a fixed time would have cost. The price
    rises while less is spent, and falls while more is: over time the two sums meet.
    """

    cold_mb_s: float = 250_000.0  # to begin with
    fixed_mb_ms: float = 0.0  # of a gap, the running mean
    learned: int = 0  # gaps
    fixed_keep_ms: int = 600_000
    spend_ratio: float = 0.98  # of what the fixed keep-alive costs; less than 1 for the learning

    def learn(self, release: Release, gap_ms: int) -> None:
        """A gap ended."""
        window = release.window
        idle_ms = max(min(gap_ms, window.until_ms) - window.from_ms, 0)
        fixed_mb_ms = min(gap_ms, self.fixed_keep_ms) * release.memory_mb
        share = _MEAN_SHARE if self.fixed_mb_ms else 1.0
        self.fixed_mb_ms += (fixed_mb_ms - self.fixed_mb_ms) * share
        saved = fixed_mb_ms * self.spend_ratio - idle_ms * release.memory_mb
        self.learned += 1
        share = _PRICE_STEP + _PRICE_STEP_FIRST / self.learned
        step = share * saved / max(self.fixed_mb_ms, 1.0)
        price = self.cold_mb_s * math.exp(max(min(step, _STEP_MAX), -_STEP_MAX))
        self.cold_mb_s = min(max(price, _PRICE_MIN), _PRICE_MAX)


@dataclass(slots=True)
class FunctionArrivals:
    """What is known of one function."""

    busy: int = 0  # invocations that run now
    alive: int = 0  # sandboxes that exist now
    uses: int = 0  # since it had no sandbox
    begun: int = 0  # ever
    cold_ms: float = 0.0  # what a cold start costs more than a warm one
    run_ms: float = 0.0  # what an invocation takes
    waited_ms: float = 0.0  # what those took that got a sandbox, since the last start
    newest: Hashable = None  # of its kinds of sandbox, the one that was started last
    released: list[Release] = field(default_factory=list)  # the highest level first
    levels: list[Gaps] = field(default_factory=list)

    def begin(self, now_ms: int, price: Price) -> None:
        """An invocation got its sandbox."""
        self.busy += 1
        self.uses += 1
        self.begun += 1
        if self.busy > len(self.levels):
            self.levels.append(Gaps())
        if self.released:
            release = self.released.pop()
            gap_ms = max(now_ms - release.at_ms, 0)
            self.levels[self.busy - 1].record(gap_ms)
            price.learn(release, gap_ms)

    def end(self) -> Gaps:
        """An invocation ended; returns the gaps of the level that it was on, to decide from."""
        assert self.busy, "more invocations ended than began"
        self.busy -= 1
        return self.levels[self.busy]

    def waits_since(self, release: Release) -> bool:
        """The level has not been needed since that release."""
        return any(known is release for known in self.released)

    def record_cold(self, cold_ms: float) -> None:
        """A cold start took that long; the newest count most."""
        if not self.cold_ms:
            self.cold_ms = cold_ms
        self.cold_ms += (cold_ms - self.cold_ms) * _COST_SHARE

    def record_run(self, run_ms: float) -> None:
        """An invocation ran that long; the newest count most."""
        if not self.run_ms:
            self.run_ms = run_ms
        self.run_ms += (run_ms - self.run_ms) * _COST_SHARE


@dataclass(slots=True)
class Arrivals:
    """The functions' arrivals; the least recently used function is forgotten first."""

    functions_max: int = _FUNCTIONS_MAX
    price: Price = field(default_factory=Price)
    _functions: OrderedDict[Hashable, FunctionArrivals] = field(default_factory=OrderedDict)

    def of(self, function_id: Hashable) -> FunctionArrivals:
        """The function's arrivals, to be read and written."""
        found = self._functions.get(function_id)
        if found is None:
            found = self._functions[function_id] = FunctionArrivals()
            self._forget_oldest()
        else:
            self._functions.move_to_end(function_id)
        return found

    def _forget_oldest(self) -> None:
        """Forget down to the bound; whoever has sandboxes is kept, and looked at last again."""
        for _ in range(len(self._functions)):
            if len(self._functions) <= self.functions_max:
                return
            function_id, oldest = self._functions.popitem(last=False)
            if oldest.alive or not oldest.begun:
                self._functions[function_id] = oldest
