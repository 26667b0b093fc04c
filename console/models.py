"""The page of replays: the models that a replay wrote, and the limits that the tuner changed. Pure.

Not here: replaying (`tuner.refresh`).
"""

from dataclasses import dataclass

from console.projection import Projection
from shared.events import MemoryLimitChanged
from tuner.adviser import Adviser
from tuner.report import make_report
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
        state = resume(event.state)
        function = projection.find_function(event.function_id)
        limits = function.limits if function else None
        report = make_report(event.function_id, state, limits, adviser) if limits else None
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


def _list_sizes(state: FunctionState) -> list[int]:
    return sorted({samples.memory_mb for samples in state.sizes})
