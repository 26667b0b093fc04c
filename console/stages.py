"""How each stage is: behind, waiting, absent. Pure, from what Redis and the metrics say.

Not here: reading either (`shared.tail`, `gauges`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.tail import GroupState
from shared.topology import (
    EXECUTIONS,
    PROFILES,
    PUBLICATIONS,
    RECOMMENDATIONS,
    REQUESTS,
    Stream,
)

_BEHIND = 50  # entries; fewer are in passing
_SILENT_MS_MIN = 10_000  # however short CLAIM_IDLE_MS is
_DOES = {
    "executor": "runs what was accepted",
    "profiler": "reads the measurements",
    "tuner": "brings the advice up to date",
    "publisher": "writes the results",
    "ingest": "settles the messages",
}
ORDER = (REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS)


@dataclass(frozen=True)
class StageView:
    """One stage at its stream. `level`: good, busy or bad."""

    name: str
    stream: str
    does: str
    lag: int | None
    pending: int
    consumers: int
    level: str
    state: str


def list_stages(
    groups: Iterable[GroupState], waits: Mapping[str, Sequence[str]], claim_idle_ms: int
) -> list[StageView]:
    """Every stage of the pipeline in its order, whether or not anybody has started it."""
    by_stream: dict[str, list[GroupState]] = defaultdict(list)
    for group in groups:
        by_stream[group.place.stream.name].append(group)
    return [_judge(stream, by_stream[stream.name], waits, claim_idle_ms) for stream in ORDER]


def count_backlog(groups: Iterable[GroupState]) -> int:
    """Requests that no executor has finished: what ingest holds back by."""
    return sum(
        (group.lag or 0) + group.pending for group in groups if group.place.stream is REQUESTS
    )


def _judge(
    stream: Stream,
    groups: Sequence[GroupState],
    waits: Mapping[str, Sequence[str]],
    claim_idle_ms: int,
) -> StageView:
    lags = [group.lag for group in groups]
    lag = None if None in lags else sum(one or 0 for one in lags)
    # A living consumer is heard of every second or so, and renews what it holds. One consumer is
    # in the group of every partition.
    silent_ms = max(claim_idle_ms, _SILENT_MS_MIN)
    living = max(
        (sum(idle_ms < silent_ms for idle_ms in one.consumers_idle_ms) for one in groups),
        default=0,
    )
    level, state = _describe(lag, living, waits.get(stream.group, ()))
    return StageView(
        name=stream.group,
        stream=stream.name,
        does=_DOES[stream.group],
        lag=lag,
        pending=sum(group.pending for group in groups),
        consumers=living,
        level=level,
        state=state,
    )


def _describe(lag: int | None, consumers: int, waits: Sequence[str]) -> tuple[str, str]:
    if waits:
        return "bad", f"waits for {', '.join(waits)}"
    if not consumers:
        return "bad", "nobody reads it: is it started?"
    if lag is None:
        return "good", "reads"
    if lag >= _BEHIND:
        return "busy", f"{lag:,} behind"
    return "good", "keeps up"
