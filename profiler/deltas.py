"""How far the counters of a readings went. A counter that ran backwards, or is unreadable: None.

Not here: what the counters mean (`figures` and its neighbours), how a file is read (`parse`).
"""

from msgspec.structs import replace

from profiler.parse import DIGITS_MAX, parse_field, parse_single
from shared.events import Readings

AMOUNT_MAX = 10**DIGITS_MAX

Amount = int | None
Pair = tuple[int, int] | None


def put_unchanged_back(readings: Readings) -> Readings:
    """The same readings with every text in its place, as the meter read them.

    What did not change is then one object on both sides, and need not be read twice.
    """
    if not readings.unchanged:
        return readings
    after = readings.after
    same = {name: after[name] for name in readings.unchanged if name in after}
    return replace(readings, before=same | readings.before, unchanged=())


def count(readings: Readings, name: str, key: str) -> Amount:
    """Of a counter that is one line of a file."""
    before, after = readings.before.get(name, ""), readings.after.get(name, "")
    count_after = parse_field(after, key)
    if before is after:
        return None if count_after is None else 0
    return subtract(parse_field(before, key), count_after)


def count_single(readings: Readings, name: str) -> Amount:
    """Of a counter that has a file of its own."""
    before, after = readings.before.get(name, ""), readings.after.get(name, "")
    return subtract(parse_single(before), parse_single(after))


def subtract(before: Amount, after: Amount) -> Amount:
    """The way from one to the other, where both are known and it leads up."""
    return None if before is None or after is None or after < before else after - before


def subtract_pairs(before: Pair, after: Pair) -> Pair:
    """Both ways of two counters, or nothing."""
    if before is None or after is None:
        return None
    first, second = subtract(before[0], after[0]), subtract(before[1], after[1])
    return None if first is None or second is None else (first, second)


def add(one: Amount, other: Amount) -> Amount:
    """The sum, where both are known."""
    return None if one is None or other is None else within_bounds(one + other)


def within_bounds(amount: Amount) -> Amount:
    """Not what no counter can be."""
    return None if amount is None or amount >= AMOUNT_MAX else amount
