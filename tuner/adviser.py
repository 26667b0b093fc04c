"""The adviser: what advice depends on besides the function. Values that a person sets.

Not here: any decision.
"""

from typing import NamedTuple

from shared.settings import Settings
from tuner.policy import BALANCED, Policy
from tuner.price_lists import LAMBDA_X86, find_book
from tuner.prices import PriceBook
from tuner.tips import Language


class Adviser(NamedTuple):
    """The policy to choose by, the prices to count with, the language to speak."""

    policy: Policy = BALANCED
    book: PriceBook = LAMBDA_X86
    language: Language = "en"


ADVISER = Adviser()


def make_adviser(settings: Settings) -> Adviser:
    """The adviser of the settings. Raises PriceBookError."""
    policy = Policy(
        objective=settings.tuner_objective, latency_ms_max=settings.tuner_latency_ms_max
    )
    return Adviser(policy, find_book(settings.price_book), settings.tip_language)
