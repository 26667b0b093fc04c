"""Many results in a few lines. Pure.

Not here: one result (`document_text`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cli.document_text import describe_memory, format_ms

Document = dict[str, Any]
_SHOWN_MAX = 3


def write_summary(documents: Sequence[Document], seconds: float) -> Iterator[str]:
    """How they ended, how long they took, what they used, the newest advice."""
    counts = Counter(one["status"] for one in documents)
    cold = sum(one["start"] == "cold" for one in documents)
    ended = ", ".join(f"{count} {_paint(status)}" for status, count in counts.most_common())
    rate = len(documents) / seconds if seconds else 0.0
    yield click.style(f"{len(documents)} calls in {seconds:.1f} s", bold=True) + (
        f" ({rate:.1f} a second): {ended}, {cold} cold"
    )
    if runs := sorted(one["durationMs"] for one in documents if one["start"]):
        yield (
            f"run     p50 {format_ms(find_percentile(runs, 50))}, "
            f"p99 {format_ms(find_percentile(runs, 99))}, longest {format_ms(runs[-1])}"
        )
    used = [one["resources"] for one in documents if one["resources"]]
    if used:
        highest = max(used, key=lambda one: one["memoryUsedMb"] or 0)
        yield f"memory  {describe_memory(highest)}"
    failed = [one for one in documents if one["error"]]
    for one in failed[:_SHOWN_MAX]:
        yield f"failed  {one['requestId']}: {one['error']['type']}: {one['error']['message']}"
    if len(failed) > _SHOWN_MAX:
        yield f"        and {len(failed) - _SHOWN_MAX} more; --json shows each"
    advised = [one["autoTuner"] for one in documents if one["autoTuner"]]
    if advised:
        yield f"advice  {advised[-1]['tip']} (confidence {advised[-1]['confidence']})"


def find_percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank; of a sorted sequence that is not empty."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]


def _paint(status: str) -> str:
    return click.style(status, fg="green" if status == "SUCCESS" else "red")
