"""What an invocation costs: price books as values.

Not here: how long it takes at a size (`curve`), which size is best (`choice`).
"""

from msgspec import Struct


class PriceBook(Struct, frozen=True, kw_only=True):
    """A list of prices that is linear in memory and time, as Lambda's is."""

    name: str
    gigabyte_second_usd: float
    request_usd: float
    step_us: int  # a started step is charged whole


# AWS price list, us-east-1, first tier; the same in most regions.
LAMBDA_X86 = PriceBook(
    name="lambda-x86-us-east-1",
    gigabyte_second_usd=0.000_016_666_7,
    request_usd=0.000_000_2,
    step_us=1_000,
)


def round_to_billed_us(book: PriceBook, duration_us: int) -> int:
    """The duration that is charged, in microseconds."""
    return -(-duration_us // book.step_us) * book.step_us


def price_compute_usd(book: PriceBook, memory_mb: int, billed_us: int) -> float:
    """The price of memory and time of one invocation, without the request fee."""
    return memory_mb / 1024 * billed_us / 1_000_000 * book.gigabyte_second_usd


def price_invocation_usd(book: PriceBook, memory_mb: int, billed_us: int) -> float:
    """The whole price of one invocation."""
    return price_compute_usd(book, memory_mb, billed_us) + book.request_usd
