"""Archiving: one stretch after another into the archive, and out of Redis.

Not here: who leads (`process`), when and how much (`closing`), what a file holds (`table`).

The order makes every crash harmless. 1. The bounds of the stretch are kept in Redis: whoever goes
on makes the same file again, byte for byte. 2. The file is written. 3. The line of the manifest is
written: from now on the stretch is archived. 4. Redis is told, and only then anything is trimmed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from archiver.closing import (
    PRESSURE_SHARE,
    Rules,
    decide_first_kept,
    find_first_model,
    fits,
    is_due,
)
from archiver.writing import write_stretch
from shared import metrics
from shared.archive import Archive
from shared.logging import log_event
from shared.retention import Entries, Marks, Memory, Retention
from shared.stretch import (
    START,
    Bounds,
    parse_entry_id,
)
from shared.topology import MODELS, STREAMS, Stream
from shared.whole_log import Span, load_line, read_archive

LOG = logging.getLogger(__name__)


class ArchiveDiffersError(Exception):
    """The archive and the log contradict each other; the message says where."""


@dataclass(slots=True)
class Archiver:
    """All streams of all partitions; one thread of one process owns it."""

    retention: Retention
    archive: Archive
    partitions: int
    rules: Rules
    now_ms: Callable[[], int]
    # What this process saw last; another end in Redis means that something else happened.
    known: dict[tuple[str, int], str] = field(default_factory=dict)
    models_trimmed: dict[int, str] = field(default_factory=dict)

    def run_once(self, may_go_on: Callable[[], bool] = lambda: True) -> int:
        """Archive what is due, one stretch of each stream, and trim; how many rows went.

        Asks before each stream whether it may go on. Raises LogUnavailableError and
        ArchiveUnavailableError; call it again and it goes on.
        """
        memory = self.retention.read_memory()
        rows = 0
        for partition in range(self.partitions):
            for stream in STREAMS:
                if not may_go_on():
                    return rows
                rows += self._archive_one(stream, partition, memory)
                self._trim(stream, partition, memory)
        return rows

    def _archive_one(self, stream: Stream, partition: int, memory: Memory) -> int:
        marks = self._read_marks(stream, partition)
        now_ms = self.now_ms()
        age_ms = now_ms - parse_entry_id(marks.oldest_id)[0] if marks.oldest_id else 0
        metrics.ARCHIVE_LAG.labels(stream.name).set(max(age_ms, 0) / 1_000)
        if marks.plan is not None:
            entries, bounds = self._read(stream, partition, marks.plan), marks.plan
        elif is_due(marks, self.rules, memory, now_ms):
            entries = self._gather(stream, partition, marks)
            begun = Bounds(marks.archived_until, entries[0][0], entries[-1][0], len(entries))
            planned = self.retention.plan(stream, partition, begun)
            if planned is None:
                return 0  # somebody else leads
            bounds = planned
            if planned != begun:
                entries = self._read(stream, partition, planned)
        else:
            return 0
        self._write(stream, partition, bounds, entries)
        return bounds.rows

    def _write(self, stream: Stream, partition: int, bounds: Bounds, entries: Entries) -> None:
        stretch = write_stretch(self.archive, (stream, partition), bounds, entries)
        self._finish(stream, partition, bounds)
        metrics.ARCHIVED.labels(stream.name).inc(bounds.rows)
        log_event(
            LOG, "archive.written", stream=stream.name, partition=partition, rows=bounds.rows,
            bytes=stretch.bytes, last=bounds.last,
        )  # fmt: skip

    def _finish(self, stream: Stream, partition: int, bounds: Bounds) -> None:
        if self.retention.finish(stream, partition, bounds):
            self.known[stream.name, partition] = bounds.last

    def _gather(self, stream: Stream, partition: int, marks: Marks) -> Entries:
        """The entries of a stretch that is closed now."""
        entries: Entries = []
        size_bytes, after = 0, marks.archived_until
        while True:
            page = self.retention.read_page(stream, partition, after, 250).entries
            for entry in page:
                if not fits(entries, size_bytes, entry, self.rules):
                    return entries
                entries.append(entry)
                size_bytes += len(entry[1])
            if not page:
                assert entries, "a stretch that is due has entries"
                return entries
            after = page[-1][0]

    def _read(self, stream: Stream, partition: int, bounds: Bounds) -> Entries:
        """The entries of a stretch that was begun before. They are there: nothing trimmed them."""
        entries: Entries = []
        first = bounds.first
        while page := self.retention.read_between(stream, partition, (first, bounds.last)):
            entries += page
            first = f"({page[-1][0]}"
        if len(entries) != bounds.rows:
            message = (
                f"{stream.name}, partition {partition}: {len(entries)} entries from "
                f"{bounds.first} to {bounds.last}, but {bounds.rows} were to be archived"
            )
            raise ArchiveDiffersError(message)
        return entries

    def _read_marks(self, stream: Stream, partition: int) -> Marks:
        """Where archiving stands; Redis may know less than the archive."""
        marks: Marks = self.retention.read_marks(stream, partition)
        place = (stream.name, partition)
        if self.known.get(place) == marks.archived_until:
            return marks
        for bounds in self._find_forgotten(stream, partition, marks.archived_until):
            self.retention.finish(stream, partition, bounds)
        marks = self.retention.read_marks(stream, partition)
        self.known[place] = marks.archived_until
        return marks

    def _find_forgotten(self, stream: Stream, partition: int, past: str) -> list[Bounds]:
        """What the manifest has beyond the end that Redis knows: it was killed, or is a new one."""
        found = []
        span = Span(partition, after=past)
        for piece in read_archive(self.archive, stream, span):
            line = load_line(self.archive, piece.place)
            if line.after != past:
                message = (
                    f"{stream.name}, partition {partition}: archived from {line.after} on, but the "
                    f"log says {past}. Is the archive that of another log?"
                )
                raise ArchiveDiffersError(message)
            found.append(Bounds(line.after, line.first, line.last, line.rows))
            past = line.last
        return found

    def _trim(self, stream: Stream, partition: int, memory: Memory) -> None:
        past = self.known.get((stream.name, partition), START)
        if past == START:
            return
        first_kept = decide_first_kept(stream, self.rules, memory, self.now_ms())
        if stream is MODELS:
            if self.models_trimmed.get(partition) == past:
                return  # no new models, so the old ones are still those that count
            first_kept, self.models_trimmed[partition] = self._find_first_model(partition), past
        gone = self.retention.trim(stream, partition, first_kept)
        if gone:
            metrics.TRIMMED.labels(stream.name).inc(gone)
            log_event(
                LOG, "log.trimmed", stream=stream.name, partition=partition, entries=gone,
                early=memory.share >= PRESSURE_SHARE,
            )  # fmt: skip

    def _find_first_model(self, partition: int) -> str:
        entries: Entries = []
        after = START
        while page := self.retention.read_page(MODELS, partition, after, 250).entries:
            after = page[-1][0]
            entries += page
        return find_first_model(entries)
