"""Which other executors have a function warm, as far as they said so. Pure, soft, bounded.

What is wrong here costs a few milliseconds or a cold start, never an invocation. Not here: how
they say it and what follows (`hand_over`).
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

_FUNCTIONS_MAX = 10_000


@dataclass(slots=True)
class Neighbours:
    """Function -> executors that started a sandbox for it, the latest last."""

    _by_function: OrderedDict[str, dict[str, None]] = field(default_factory=OrderedDict)

    def know(self, consumer: str, functions: Iterable[str]) -> None:
        """It has these warm."""
        for function_id in functions:
            consumers = self._by_function.setdefault(function_id, {})
            consumers.pop(consumer, None)
            consumers[consumer] = None
            self._by_function.move_to_end(function_id)
        while len(self._by_function) > _FUNCTIONS_MAX:
            self._by_function.popitem(last=False)

    def find(self, function_id: str) -> str | None:
        """Who most likely has it warm."""
        consumers = self._by_function.get(function_id)
        return next(reversed(consumers)) if consumers else None

    def correct(self, consumer: str, function_id: str) -> None:
        """It does not have that one any more."""
        consumers = self._by_function.get(function_id, {})
        consumers.pop(consumer, None)
        if not consumers:
            self._by_function.pop(function_id, None)

    def forget(self, consumer: str) -> None:
        """It is gone, or does not answer."""
        for function_id in list(self._by_function):
            self.correct(consumer, function_id)
