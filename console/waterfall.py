"""The phases of an invocation one after the other, from its request to its publication. Pure.

Not here: how a line is drawn (`charts`). The executor measures its phases in microseconds; what
comes after the answer is told by the entries' ids, in milliseconds of Redis's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from console.charts import draw_stretch
from console.trace import Traced
from shared.events import Execution
from shared.topology import EXECUTIONS, PROFILES, PUBLICATIONS, RECOMMENDATIONS

_PHASES = (  # in their order: field, name, what it is
    ("queued_us", "queued", "until a sandbox was free"),
    ("input_us", "input", "inputS3 opened"),
    ("code_us", "code", "archive fetched and unpacked"),
    ("sandbox_us", "sandbox", "sandbox started"),
    ("init_us", "init", "module loaded"),
    ("run_us", "run", "handler called"),
    ("output_us", "output", "output files uploaded"),
)
_AFTER = (  # the stream at whose end it is over
    (PROFILES, "profile", "readings understood"),
    (RECOMMENDATIONS, "tune", "advice brought up to date"),
    (PUBLICATIONS, "publish", "result written to Redis and S3"),
)


@dataclass(frozen=True)
class Step:
    """One line: when it began and how long it took; `picture` shows both."""

    name: str
    means: str
    begins_us: int
    us: int
    exact: bool  # else to the millisecond
    picture: Markup


def list_steps(traced: Sequence[Traced], execution: Execution | None) -> list[Step]:
    """Every phase that took any time."""
    if execution is None:
        return []
    found: list[tuple[str, str, int, int, bool]] = []
    at_us = 0
    for field, name, means in _PHASES:
        us = max(getattr(execution.phases, field), 0)
        if us:
            found.append((name, means, at_us, us, True))
            at_us += us
    found += _list_after(traced, at_us)
    whole = max(((begins + us) for _, _, begins, us, _ in found), default=1) or 1
    return [
        Step(name, means, begins, us, exact, draw_stretch(name, begins / whole, us / whole))
        for name, means, begins, us, exact in found
    ]


def _list_after(traced: Sequence[Traced], at_us: int) -> list[tuple[str, str, int, int, bool]]:
    """The stages after the executor, from one append to the next."""
    appended = {one.place.stream.name: one.appended_ms for one in traced}
    found = []
    streams = [EXECUTIONS, *(stream for stream, _, _ in _AFTER)]
    for (before, stream), (_, name, means) in zip(pairwise(streams), _AFTER, strict=True):
        if before.name not in appended or stream.name not in appended:
            break
        us = max(appended[stream.name] - appended[before.name], 0) * 1_000
        found.append((name, means, at_us, us, False))
        at_us += us
    return found
