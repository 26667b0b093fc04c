"""The policy: what the tuner should aim for and how careful it is. A value; no decision here."""

from typing import Literal

from msgspec import Struct

Objective = Literal["cost", "balanced", "speed", "latency"]


class Policy(Struct, frozen=True, kw_only=True):
    """How a size is chosen."""

    objective: Objective = "balanced"
    latency_ms_max: int = 0  # of `latency`: nineteen calls of twenty should be faster
    # Public measurements: limits of 1.2 x the peak and more slowed nothing down, 1.1 to 1.2 x did,
    # by up to 2.65 x. A few runs have not shown their highest peak yet.
    margin_percent: int = 135
    margin_firm_percent: int = 125  # from `firm_count` measured peaks on
    firm_count: int = 20
    # After an out of memory the true need is unknown; the bump is that of Kubernetes' recommender.
    bump_percent: int = 120
    bump_mb: int = 100


BALANCED = Policy()
