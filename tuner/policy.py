"""The policy: what the tuner should aim for and how careful it is. A value; no decision here."""

from typing import Literal

from msgspec import Struct

Objective = Literal["cost", "balanced", "speed", "latency"]


class Policy(Struct, frozen=True, kw_only=True):
    """How a size is chosen."""

    objective: Objective = "balanced"
    latency_ms_max: int = 0  # of `latency`: nineteen calls of twenty should be faster
    # Measured: a limit of 1.35 x the peak slows nothing down, 1.1-1.2 x did by up to 2.65 x.
    margin_percent: int = 135
    # After an out of memory the true need is unknown; the bump is that of Kubernetes' recommender.
    bump_percent: int = 120
    bump_mb: int = 100


BALANCED = Policy()
