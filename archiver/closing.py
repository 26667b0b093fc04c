"""When a stretch is closed, and where it ends. Pure.

Not here: reading and writing (`archiver`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.codec import UndecodableError, decode
from shared.events import CostModelRefreshed
from shared.retention import Entries, Marks, Memory
from shared.stretch import find_date, is_before, parse_entry_id
from shared.topology import DEAD, Stream

BYTES_MAX = 16 << 20  # of one stretch, before it is packed: what the archiver holds in memory
PRESSURE_SHARE = 0.5  # of Redis' bound: from here on everything is archived and trimmed at once
DEAD_KEEP_MS = 14 * 86_400_000  # for people to look at


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person sets."""

    age_ms_max: int = 600_000
    rows_max: int = 20_000
    keep_ms: int = 3_600_000


def is_due(marks: Marks, rules: Rules, memory: Memory, now_ms: int) -> bool:
    """Whether a stretch is to be closed now: old enough, large enough, or Redis gets full."""
    if not marks.oldest_id:
        return False
    return (
        memory.share >= PRESSURE_SHARE
        or marks.waiting >= rules.rows_max
        or now_ms - parse_entry_id(marks.oldest_id)[0] >= rules.age_ms_max
    )


def fits(entries: Entries, size_bytes: int, following: tuple[str, bytes], rules: Rules) -> bool:
    """Whether one more entry belongs to the stretch: not too many, too large, of another day."""
    if not entries:
        return True
    entry_id, payload = following
    return (
        len(entries) < rules.rows_max
        and size_bytes + len(payload) <= BYTES_MAX
        and find_date(entry_id) == find_date(entries[0][0])
    )


def decide_first_kept(stream: Stream, rules: Rules, memory: Memory, now_ms: int) -> str:
    """The entry id from which on a stream is kept although it is archived."""
    if memory.share >= PRESSURE_SHARE:
        return f"{1 << 52}-0"
    keep_ms = max(rules.keep_ms, DEAD_KEEP_MS) if stream is DEAD else rules.keep_ms
    return f"{max(now_ms - keep_ms + 1, 0)}-0"


def find_first_model(entries: Iterable[tuple[str, bytes]]) -> str:
    """The first entry of `models` that counts: the latest of some function. A tuner needs it."""
    latest: dict[str, str] = {}
    for entry_id, payload in entries:
        try:
            event = decode(payload)
        except UndecodableError:
            continue
        if isinstance(event, CostModelRefreshed):
            latest[event.function_id] = entry_id
    first = ""
    for entry_id in latest.values():
        if not first or is_before(entry_id, first):
            first = entry_id
    return first or f"{1 << 52}-0"
