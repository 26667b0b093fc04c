"""What `hearth top` shows of each function: figures of the last minutes. Pure.

Not here: reading events, drawing (`top`).
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from cli.summary import find_percentile
from shared.events import Accuracy, InvocationTuned, Outcome, Start

_MIB = 1 << 20


class Window:
    """The invocations of the last minutes, by function. Owned by one loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: dict[str, deque[InvocationTuned]] = {}

    def add(self, events: Iterable[InvocationTuned]) -> None:
        """Take what was tuned."""
        for event in events:
            self._calls.setdefault(event.execution.function_id, deque()).append(event)

    def list_rows(self, now_ms: int) -> list[dict[str, Any]]:
        """A row a function, the busiest first; forgets what is too old."""
        oldest_ms = now_ms - self._seconds * 1_000
        for function_id, calls in list(self._calls.items()):
            while calls and calls[0].occurred_at_ms < oldest_ms:
                calls.popleft()
            if not calls:
                del self._calls[function_id]
        rows = [
            describe(function_id, list(calls), self._seconds)
            for function_id, calls in self._calls.items()
        ]
        return sorted(rows, key=lambda row: (-row["calls"], row["function"]))


def describe(function_id: str, calls: list[InvocationTuned], seconds: float) -> dict[str, Any]:
    """The figures of one function; None: not known."""
    executions = [call.execution for call in calls]
    ran = [one for one in executions if one.start is not Start.NONE]
    runs = sorted(one.phases.run_us / 1_000 for one in ran)
    peaks = [
        call.profile.memory_peak_bytes
        for call in calls
        if call.profile.memory_accuracy is not Accuracy.NONE
    ]
    limits = [one.limits.memory_mb for one in executions if one.limits is not None]
    advised = [call.advice for call in calls if call.advice is not None]
    return {
        "function": function_id or "-",
        "calls": len(calls),
        "calls_per_s": round(len(calls) / seconds, 2),
        "p50_ms": round(find_percentile(runs, 50), 1) if runs else None,
        "p99_ms": round(find_percentile(runs, 99), 1) if runs else None,
        "errors": sum(one.outcome is not Outcome.SUCCEEDED for one in executions),
        "cold_percent": _percent(sum(one.start is Start.COLD for one in ran), len(ran)),
        "peak_mb": -(-max(peaks) // _MIB) if peaks else None,
        "limit_mb": limits[-1] if limits else None,
        "advised_mb": advised[-1].memory_mb if advised else None,
        "advice": advised[-1].tip if advised else None,
    }


def _percent(part: int, whole: int) -> float | None:
    return round(part / whole * 100, 1) if whole else None
