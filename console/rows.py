"""What the console remembers of one invocation and of one function. Mutable: the projection's.

Not here: how events fill them (`projection`).
"""

from collections import Counter
from typing import NamedTuple

from msgspec import Struct, field

from shared.events import Accuracy, Advice, Limits, Outcome, Phases, Runtime, Start
from shared.tail import Place
from tuner.facts import Facts

Order = tuple[int, int]  # the two numbers of an entry id, which sort as the log does


class Invocation(Struct):
    """One line of a list, and where its events lie."""

    request_id: str
    function_id: str = ""
    requested_at_ms: int = 0
    ended_at_ms: int = 0  # 0: under way, as far as is known
    outcome: Outcome | None = None
    start: Start = Start.NONE
    memory_mb: int | None = None
    peak_bytes: int | None = None
    accuracy: Accuracy = Accuracy.NONE
    run_us: int = 0
    total_us: int = 0
    entries: list[tuple[Place, str]] = field(default_factory=list)


class Function(Struct):
    """What was seen of one function since the console began to look."""

    function_id: str
    invocations: int = 0
    failed: int = 0
    cold: int = 0
    last_at_ms: int = 0
    runtime: Runtime | None = None
    limits: Limits | None = None
    memory_auto: bool = False
    lengths: Counter[int] = field(default_factory=Counter)
    advice: Advice | None = None
    advised_by: str = ""  # the invocation that brought the advice


class Profiled(NamedTuple):
    """One fact of the tuner's, and what it is of."""

    order: Order  # of its entry in `profiles`
    function_id: str
    request_id: str
    facts: Facts


def measure_total_us(phases: Phases) -> int:
    """From the request's append to the answer, output files included."""
    return sum(max(getattr(phases, name), 0) for name in phases.__struct_fields__)


def read_order(entry_id: str) -> Order:
    """Of an entry id."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
