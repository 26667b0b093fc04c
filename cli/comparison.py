"""Two profiles of the same call side by side. Pure.

Not here: one profile (`profile_view`), the second call (`rerun`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from profiler.view import View, format_bytes, format_us
from shared.events import Accuracy
from tuner.prices import PriceBook, price_invocation_usd

_MILLION = 1_000_000


class Line(NamedTuple):
    """One figure of both."""

    name: str
    before: str
    now: str
    change: str


def compare(before: View, now: View, book: PriceBook) -> list[Line]:
    """Line by line; what neither knows is left out."""
    parts = {part.key: part.name for part in (*before.parts, *now.parts)}
    lines = [
        _say("outcome", before, now, lambda view: view.execution.outcome.value.replace("_", " ")),
        _say("start", before, now, lambda view: view.execution.start.value),
        _say("memory limit", before, now, _limit),
        _measure("run", (before, now), lambda view: view.run_us, format_us),
        *[
            _measure(f"  {name}", (before, now), _part(key), format_us)
            for key, name in parts.items()
        ],
        _measure("init", (before, now), lambda view: view.execution.phases.init_us, format_us),
        _measure("CPU", (before, now), _cpu_us, format_us),
        _measure("memory peak", (before, now), _peak_bytes, format_bytes),
        _measure(
            "$ a million calls",
            (before, now),
            lambda view: price_million_usd(view, book),
            lambda usd: f"{usd:,.3f}",
        ),
    ]
    return [line for line in lines if (line.before, line.now) != ("-", "-")]


def price_million_usd(view: View, book: PriceBook) -> float | None:
    """What a million such runs cost, without their inits; None for what never ran."""
    limits = view.execution.limits
    if limits is None or not view.run_us:
        return None
    billed_us = -(-view.run_us // book.step_us) * book.step_us
    return price_invocation_usd(book, limits.memory_mb, billed_us) * _MILLION


def list_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """As rows of a table."""
    return [
        {"": line.name, "before": line.before, "now": line.now, "change": line.change}
        for line in lines
    ]


def _say(name: str, before: View, now: View, read: Callable[[View], str]) -> Line:
    return Line(name, read(before), read(now), "" if read(before) == read(now) else "changed")


def _measure(
    name: str,
    views: tuple[View, View],
    read: Callable[[View], Any],
    tell: Callable[[Any], str],
) -> Line:
    figures = [read(view) for view in views]
    before, now = ("-" if one is None else tell(one) for one in figures)
    if None in figures or not figures[0]:
        return Line(name, before, now, "")
    return Line(name, before, now, f"{(figures[1] / figures[0] - 1) * 100:+.0f} %")


def _limit(view: View) -> str:
    limits = view.execution.limits
    return "-" if limits is None else f"{limits.memory_mb} MB"


def _cpu_us(view: View) -> int:
    return view.profile.cpu_user_us + view.profile.cpu_system_us


def _peak_bytes(view: View) -> int | None:
    measured = view.profile.memory_accuracy is not Accuracy.NONE
    return view.profile.memory_peak_bytes if measured else None


def _part(key: str) -> Callable[[View], int | None]:
    return lambda view: getattr(view.profile.breakdown, key) or None
