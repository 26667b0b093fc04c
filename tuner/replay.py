"""Replay: tune a period again with another policy or price book, read-only; old against new.

Not here: where history comes from (`history`); refreshing the cost models for the running tuner.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from shared.events import Limits
from tuner.account import Account, Accounts
from tuner.adviser import ADVISER, Adviser
from tuner.choice import choose_size
from tuner.curve import Curve, estimate_curve, predict_run_us
from tuner.facts import Facts
from tuner.floor import decide_floor_mb
from tuner.prices import PriceBook, price_month_usd
from tuner.savings import estimate_billed_us
from tuner.state import FunctionState


class Tuned(NamedTuple):
    """One function over a period: what it cost as it ran, and what it would have cost."""

    function_id: str
    invocations: int
    memory_mb: int  # in force at the end of the period
    old_mb: int  # advised by the present policy
    new_mb: int  # advised by the other
    as_run_usd: float  # the bill of the period
    old_usd: float
    new_usd: float
    short: int  # invocations that would have run out of memory at `new_mb`


def fold_all(history: Iterable[tuple[str, Facts]]) -> dict[str, Account]:
    """What is needed of each function."""
    accounts = Accounts()
    accounts.add(history)
    return accounts.freeze()


def replay(
    accounts: Mapping[str, Account], new: Adviser, old: Adviser = ADVISER
) -> Iterator[Tuned]:
    """Each function with both advisers; all bills by the new price book."""
    for function_id, account in accounts.items():
        state, limits = account.state, account.limits
        curve = estimate_curve(state.sizes, limits)
        old_mb = advise(state, limits, curve, old)
        new_mb = advise(state, limits, curve, new)
        yield Tuned(
            function_id=function_id,
            invocations=state.call_count,
            memory_mb=limits.memory_mb,
            old_mb=old_mb,
            new_mb=new_mb,
            as_run_usd=price_as_run_usd(account, new.book),
            old_usd=price_at_usd(account, old_mb, curve, new.book),
            new_usd=price_at_usd(account, new_mb, curve, new.book),
            short=account.count_short(new_mb),
        )


def advise(state: FunctionState, limits: Limits, curve: Curve | None, adviser: Adviser) -> int:
    """The size that an adviser would recommend, in MB."""
    floor_mb = decide_floor_mb(state, limits.memory_mb, adviser.policy)
    return choose_size(floor_mb, limits.memory_mb, curve, adviser.policy).memory_mb


def price_as_run_usd(account: Account, book: PriceBook) -> float:
    """The bill of the period, at the sizes at which it really ran."""
    return sum(
        price_month_usd(book, memory_mb, count, billed_ms * 1_000 / count)
        for memory_mb, (count, billed_ms) in account.as_run.items()
    )


def price_at_usd(account: Account, memory_mb: int, curve: Curve | None, book: PriceBook) -> float:
    """The bill of the period if all of it had run at one size, by the curve.

    Without a curve: as it ran.
    """
    if curve is None:
        return price_as_run_usd(account, book)
    billed_us = estimate_billed_us(account.state, memory_mb, curve, book)
    return price_month_usd(book, memory_mb, account.state.call_count, billed_us)


class WhatIf(NamedTuple):
    """One function at a size that somebody names."""

    function_id: str
    invocations: int
    memory_mb: int
    run_us: int  # mean, predicted at the size named
    run_now_us: int
    as_run_usd: float
    what_if_usd: float
    short: int


def what_if(
    accounts: Mapping[str, Account], memory_mb: int | None, books: tuple[PriceBook, PriceBook]
) -> Iterator[WhatIf]:
    """History priced again by the second book and, where one is named, at another size."""
    now, then = books
    for function_id, account in accounts.items():
        limits = account.limits
        size = memory_mb or limits.memory_mb
        curve = estimate_curve(account.state.sizes, limits)
        yield WhatIf(
            function_id=function_id,
            invocations=account.state.call_count,
            memory_mb=size,
            run_us=predict_run_us(curve, size) if curve else 0,
            run_now_us=predict_run_us(curve, limits.memory_mb) if curve else 0,
            as_run_usd=price_as_run_usd(account, now),
            what_if_usd=price_at_usd(account, size, curve, then),
            short=account.count_short(size),
        )
