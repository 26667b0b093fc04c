"""A policy of the pool: a rule of keeping, and a rule of which idle sandbox goes first for room.

Policies are values. What they decide from is recorded in `arrivals`; `pool` does what they say.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from executor.arrivals import FunctionArrivals
from executor.keep_alive import (
    FOREVER_MS,
    BalancedHistogram,
    FixedKeepAlive,
    HybridHistogram,
    KeepAlive,
)

PolicyName = Literal["balanced", "fixed", "histogram", "greedy_dual"]


class Eviction(Protocol):
    """A rule that ranks idle sandboxes; the lowest goes first, the oldest of equals."""

    def rank(self, function: FunctionArrivals, memory_mb: int, clock: float) -> float:
        """The rank of a sandbox that becomes idle; `clock` is that of the last evicted."""
        ...


@dataclass(frozen=True, slots=True)
class LeastRecentlyUsed:
    """The one that is idle for longest goes first."""

    def rank(self, function: FunctionArrivals, memory_mb: int, clock: float) -> float:  # noqa: ARG002
        """All alike: of equals the oldest goes."""
        return 0.0


@dataclass(frozen=True, slots=True)
class GreedyDual:
    """FaasCache (ASPLOS'21): seldom used, quick to start again and large ones go first."""

    def rank(self, function: FunctionArrivals, memory_mb: int, clock: float) -> float:
        """Clock + frequency x cost of a cold start / memory."""
        return clock + function.uses * function.cold_ms / memory_mb


@dataclass(frozen=True, slots=True)
class Policy:
    """How the pool keeps and evicts."""

    keep: KeepAlive = field(default_factory=FixedKeepAlive)
    evict: Eviction = field(default_factory=LeastRecentlyUsed)


def choose_policy(name: PolicyName, *, prewarm: bool) -> Policy:
    """The policy of that name; `prewarm` where whoever asks can start sandboxes ahead."""
    match name:
        case "balanced":
            return Policy(BalancedHistogram(prewarm=prewarm), GreedyDual())
        case "fixed":
            return Policy(FixedKeepAlive(), LeastRecentlyUsed())
        case "histogram":
            return Policy(HybridHistogram(prewarm=prewarm), LeastRecentlyUsed())
        case "greedy_dual":
            return Policy(FixedKeepAlive(FOREVER_MS), GreedyDual())
