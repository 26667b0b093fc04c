"""What invocations cost: price books as values, and the bill of a month.

Not here: the lists (`price_lists`), how long an invocation takes (`curve`).
"""

from msgspec import Struct

_MB_PER_GB = 1024
_US_PER_SECOND = 1_000_000


class Tier(Struct, frozen=True, kw_only=True):
    """A price that holds for what is used above an amount in a month."""

    above_gigabyte_seconds: int
    gigabyte_second_usd: float


class PriceBook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list of prices that is linear in memory and time, as Lambda's is.

    Where CPU is bought in proportion to memory (1769 MB are one vCPU), its price is part of that of
    the gigabyte second: a host or Fargate fits too.
    """

    name: str
    gigabyte_second_usd: float
    request_usd: float = 0.0
    step_us: int = 1_000  # a started step is charged whole
    tiers: tuple[Tier, ...] = ()  # ascending; below the first the price is `gigabyte_second_usd`
    init_is_billed: bool = True


def round_to_billed_us(book: PriceBook, duration_us: int) -> int:
    """The duration that is charged, in microseconds."""
    return -(-duration_us // book.step_us) * book.step_us


def price_compute_usd(book: PriceBook, memory_mb: int, billed_us: float) -> float:
    """The price of memory and time of one invocation, in the first tier, without the fee."""
    return memory_mb / _MB_PER_GB * billed_us / _US_PER_SECOND * book.gigabyte_second_usd


def price_invocation_usd(book: PriceBook, memory_mb: int, billed_us: float) -> float:
    """The whole price of one invocation in the first tier."""
    return price_compute_usd(book, memory_mb, billed_us) + book.request_usd


def price_month_usd(book: PriceBook, memory_mb: int, calls: float, billed_us: float) -> float:
    """The bill of a month of `calls` that are charged `billed_us` each on average.

    `billed_us` is the mean of what each call is charged: a mean of ceilings, not the ceiling of a
    mean. The tiers are counted for this function alone.
    """
    gigabyte_seconds = memory_mb / _MB_PER_GB * billed_us / _US_PER_SECOND * calls
    return _price_gigabyte_seconds_usd(book, gigabyte_seconds) + calls * book.request_usd


def _price_gigabyte_seconds_usd(book: PriceBook, gigabyte_seconds: float) -> float:
    total, price, above = 0.0, book.gigabyte_second_usd, 0
    for tier in book.tiers:
        if gigabyte_seconds <= tier.above_gigabyte_seconds:
            break
        total += (tier.above_gigabyte_seconds - above) * price
        price, above = tier.gigabyte_second_usd, tier.above_gigabyte_seconds
    return total + (gigabyte_seconds - above) * price
