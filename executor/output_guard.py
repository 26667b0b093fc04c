"""Looks several times a second whether a running function overfills OUTPUT_DIR, or the disk.

Not here: what becomes of it (`loop`).

There is no quota that the kernel would keep without privileges, so a function can write more for
as long as one interval: as much as its disk takes in that time, and in dirty memory no more than
its own limit.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from executor.background import Background
from executor.output_files import explain_entries, explain_size
from executor.output_folder import OutputFolder, TooManyEntriesError
from executor.seat import Seat
from shared.settings import Settings

INTERVAL_MS = 250


@dataclass(frozen=True, slots=True)
class Overfull:
    """A seat whose present invocation has to end, and why."""

    seat: Seat
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Watched:
    seat: Seat
    generation: int
    folder: OutputFolder  # a descriptor of our own: the seat's may be closed meanwhile


class OutputGuard:
    """One look at a time, on a background thread."""

    def __init__(
        self, settings: Settings, background: Background, report: Callable[[Overfull], None]
    ) -> None:
        self._bytes_max = settings.output_dir_mb << 20
        self._reserve_bytes = settings.disk_reserve_mb << 20
        self._background = background
        self._report = report
        self._due_ns = 0
        self._is_looking = False

    def look(self, seats: Callable[[], Iterable[Seat]]) -> None:
        """Look at those of `seats` that run and have written, unless that was done just now."""
        now = time.monotonic_ns()
        if now < self._due_ns or self._is_looking:
            return
        self._due_ns = now + INTERVAL_MS * 1_000_000
        watched = [
            _Watched(seat, seat.generation, seat.sandbox.exchange.output.duplicate())
            for seat in seats()
            if seat.invocation is not None and seat.sandbox.exchange.output.was_written()
        ]
        if watched:
            self._is_looking = True
            self._background.submit(lambda: self._judge_all(watched), self._looked)

    def _looked(self, found: list[Overfull]) -> None:
        self._is_looking = False
        for overfull in found:
            self._report(overfull)

    def _judge_all(self, watched: list[_Watched]) -> list[Overfull]:
        try:
            sizes = [_measure(one.folder) for one in watched]
            found = [
                Overfull(one.seat, one.generation, self._explain(size))
                for one, size in zip(watched, sizes, strict=True)
                if size is None or size > self._bytes_max
            ]
            free_bytes = watched[0].folder.free_bytes()
            if not found and free_bytes < self._reserve_bytes:
                largest = max(zip(sizes, watched, strict=True), key=lambda pair: pair[0] or 0)[1]
                found = [Overfull(largest.seat, largest.generation, self._explain_disk(free_bytes))]
            return found
        finally:
            for one in watched:
                one.folder.close()

    def _explain(self, size_bytes: int | None) -> str:
        if size_bytes is None:
            return explain_entries()
        return explain_size(size_bytes, self._bytes_max)

    def _explain_disk(self, free_bytes: int) -> str:
        return (
            f"The executor's disk has {free_bytes} bytes left, less than DISK_RESERVE_MB keeps "
            "free, and this function's OUTPUT_DIR held the most of what runs. Make room, or write "
            "less"
        )


def _measure(folder: OutputFolder) -> int | None:
    """Bytes on the disk; None: too many entries to be counted."""
    try:
        return folder.measure_bytes()
    except TooManyEntriesError:
        return None
