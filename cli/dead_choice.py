"""Which dead letters a command means, and how one is shown. Pure but for the clock's default.

Not here: the commands (`dead`).
"""

import re
import time
from dataclasses import dataclass
from typing import Any

from ingest.message import read_function_of
from ingest.settle import read_function_id
from shared.dead_letters import Letter

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGE = re.compile(r"(\d{1,9})([smhd])")


def parse_age_ms(text: str) -> int | None:
    """Milliseconds of an age such as 90s, 15m, 2h or 7d; None for nothing."""
    if not text:
        return None
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no age: write 30s, 15m, 2h or 7d")
    return int(found[1]) * _UNITS_MS[found[2]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What must be true of a letter; nothing said is nothing asked."""

    stage: str = ""
    function: str = ""
    reason: str = ""
    older_ms: int | None = None
    newer_ms: int | None = None

    def fits(self, letter: Letter) -> bool:
        """Whether it is meant."""
        row = make_row(letter)
        return (
            self.stage in ("", row["stage"])
            and self.function in ("", row["function"])
            and self.reason.casefold() in row["reason"].casefold()
            and (self.older_ms is None or row["ageSeconds"] * 1_000 >= self.older_ms)
            and (self.newer_ms is None or row["ageSeconds"] * 1_000 <= self.newer_ms)
        )


def make_row(letter: Letter, now_ms: int | None = None) -> dict[str, Any]:
    """The letter for programs; the names are those of `hearth dead list --json`."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    buried_at_ms = int(letter.entry_id.partition("-")[0])
    event = letter.event
    row: dict[str, Any] = {
        "id": letter.name,
        "buriedAtMs": buried_at_ms,
        "ageSeconds": max(now_ms - buried_at_ms, 0) // 1_000,
        "requeuedAs": letter.requeued_as or None,
    }
    if event is None:
        reason = "the letter itself cannot be read"
        return {**row, "stage": "", "stream": "", "function": "", "requestId": "", "attempts": 0,
                "reason": reason, "payloadBytes": len(letter.payload)}  # fmt: skip
    return {
        **row,
        "stage": event.stage,
        "stream": event.stream,
        "function": read_function_id(event.payload) or read_function_of(event.payload),
        "requestId": event.invocation_id,
        "attempts": event.attempts,
        "reason": event.reason,
        "payloadBytes": max(event.payload_bytes, len(event.payload)),
    }


def describe(letter: Letter) -> str:
    """One line for people: the last line of the reason says what went wrong."""
    row = make_row(letter)
    reason = row["reason"].strip().rpartition("\n")[2]
    state = "  (requeued)" if letter.requeued_as else ""
    return (
        f"{row['id']}  {show_age(row['ageSeconds']):>4}  {row['stage'] or '?':<10} "
        f"{row['stream'] or 'SQS':<16} {row['function'] or '-':<16} {reason}{state}"
    )


def show_age(seconds: int) -> str:
    """The largest unit that fits."""
    for unit, length_ms in reversed(_UNITS_MS.items()):
        if seconds * 1_000 >= length_ms:
            return f"{seconds * 1_000 // length_ms}{unit}"
    return "0s"
