"""The ledger: what each change of a function's size was to save, and what it saved.

Not here: who made the change (a person, a message, the tuner); it is read off history. Before
and after are compared by memory x billed time of warm runs, so more calls or fewer change nothing.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tuner.adviser import ADVISER, Adviser
from tuner.backtest import read_limits
from tuner.curve import estimate_curve, predict_run_us
from tuner.facts import Facts
from tuner.prices import PriceBook, price_compute_usd
from tuner.state import EMPTY, FunctionState, apply_facts

_RUNS_MIN = 5  # after a change, to call its effect realised


class Change(NamedTuple):
    """One change of size. Savings are of the compute price a call; negative: it costs more."""

    function_id: str
    at_ms: int
    from_mb: int
    to_mb: int
    predicted_percent: float | None  # None: nothing was known of durations then
    realised_percent: float | None  # None: too few warm runs on either side
    runs_after: int
    saved_usd: float  # by all warm runs after it, until the next change
    predicted_run_us: int  # mean at the new size
    realised_run_us: int
    out_of_memory: int  # after it


class _Stretch:
    """What ran between two changes. Mutable: the walk owns it."""

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb = memory_mb
        self.runs = 0
        self.run_us = 0
        self.billed_ms = 0
        self.out_of_memory = 0

    def add(self, facts: Facts) -> None:
        self.out_of_memory += facts.ran_out_of_memory
        if facts.is_timed and not facts.is_cold:
            self.runs += 1
            self.run_us += facts.run_us
            self.billed_ms -= -facts.run_us // 1_000

    def price_call_usd(self, book: PriceBook) -> float:
        return price_compute_usd(book, self.memory_mb, self.billed_ms * 1_000 / self.runs)


class _Open(NamedTuple):
    """A change whose effect is still being watched."""

    at_ms: int
    before: _Stretch
    predicted_us: int | None


def read_ledger(
    history: Iterable[tuple[str, Facts]], adviser: Adviser = ADVISER
) -> Iterator[Change]:
    """Every change in a history, by function and time."""
    states: dict[str, FunctionState] = {}
    stretches: dict[str, _Stretch] = {}
    opened: dict[str, _Open] = {}
    closed: dict[str, list[Change]] = {}
    for function_id, facts in history:
        state = states.get(function_id, EMPTY)
        stretch = stretches.get(function_id)
        if stretch is None or stretch.memory_mb != facts.memory_mb:
            fresh = stretches[function_id] = _Stretch(facts.memory_mb)
            if stretch is not None:
                _close(closed, opened, (function_id, stretch), adviser.book)
                predicted_us = _predict_us(state, facts)
                opened[function_id] = _Open(facts.at_ms, stretch, predicted_us)
            stretch = fresh
        stretch.add(facts)
        states[function_id] = apply_facts(state, facts)
    for function_id in sorted(stretches):
        _close(closed, opened, (function_id, stretches[function_id]), adviser.book)
        yield from closed.get(function_id, [])


def _predict_us(state: FunctionState, facts: Facts) -> int | None:
    curve = estimate_curve(state.sizes, read_limits(facts))
    return predict_run_us(curve, facts.memory_mb) if curve else None


def _close(
    closed: dict[str, list[Change]],
    opened: dict[str, _Open],
    after: tuple[str, _Stretch],
    book: PriceBook,
) -> None:
    """Enter the change that is open for a function, if there is one."""
    function_id, stretch = after
    change = opened.pop(function_id, None)
    if change is None:
        return
    before = change.before
    is_known = before.runs >= _RUNS_MIN and stretch.runs >= _RUNS_MIN
    old_usd = before.price_call_usd(book) if before.runs else 0.0
    predicted = realised = None
    saved_usd = 0.0
    if before.runs and change.predicted_us is not None:
        predicted_usd = price_compute_usd(book, stretch.memory_mb, change.predicted_us)
        predicted = round((1 - predicted_usd / old_usd) * 100, 1)
    if is_known:
        new_usd = stretch.price_call_usd(book)
        realised = round((1 - new_usd / old_usd) * 100, 1)
        saved_usd = (old_usd - new_usd) * stretch.runs
    closed.setdefault(function_id, []).append(
        Change(
            function_id=function_id,
            at_ms=change.at_ms,
            from_mb=before.memory_mb,
            to_mb=stretch.memory_mb,
            predicted_percent=predicted,
            realised_percent=realised,
            runs_after=stretch.runs,
            saved_usd=saved_usd,
            predicted_run_us=change.predicted_us or 0,
            realised_run_us=stretch.run_us // stretch.runs if stretch.runs else 0,
            out_of_memory=stretch.out_of_memory,
        )
    )
