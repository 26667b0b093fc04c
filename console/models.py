"""The page of replays: the models that a replay wrote, and the limits that the tuner changed. Pure.

Not here: replaying (`tuner.refresh`).
"""

from dataclasses import dataclass
from functools import lru_cache

from console.projection import Projection
from shared.events import Limits, MemoryLimitChanged
from tuner.adviser import Adviser
from tuner.report import Report, make_report
from tuner.state import FunctionState, resume


@dataclass(frozen=True)
class Model:
    """What the latest replay knows of a function."""

    function_id: str
    refreshed_at_ms: int
    invocations: int
    cold: int
    peak_mb: float
    sizes: list[int]
    limit_mb: int | None
    advised_mb: int | None
    confidence: str


@dataclass(frozen=True)
class ReplaysPage:
    """The page."""

    models: list[Model]
    changes: list[MemoryLimitChanged]  # newest first
    replay_cron: str


def make_replays(projection: Projection, adviser: Adviser, replay_cron: str) -> ReplaysPage:
    """The caller holds the lock."""
    models = []
    for event in reversed(projection.models.values()):
        function = projection.find_function(event.function_id)
        limits = function.limits if function else None
        state, report = conclude(event.function_id, event.state, limits, adviser)
        models.append(
            Model(
                function_id=event.function_id,
                refreshed_at_ms=event.occurred_at_ms,
                invocations=event.invocation_count,
                cold=state.cold_count,
                peak_mb=state.peak_bytes_max / (1 << 20),
                sizes=_list_sizes(state),
                limit_mb=limits.memory_mb if limits else None,
                advised_mb=report.memory_mb if report else None,
                confidence=report.confidence if report else "",
            )
        )
    return ReplaysPage(models, list(reversed(projection.changes)), replay_cron)


@lru_cache(maxsize=512)
def conclude(
    function_id: str, saved: bytes, limits: Limits | None, adviser: Adviser
) -> tuple[FunctionState, Report | None]:
    """A model and what it says under these limits; kept, since models seldom change."""
    state = resume(saved)
    return state, make_report(function_id, state, limits, adviser) if limits else None


def _list_sizes(state: FunctionState) -> list[int]:
    return sorted({samples.memory_mb for samples in state.sizes})
