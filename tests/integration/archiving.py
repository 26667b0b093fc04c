"""An archiver that a test turns by hand, and what the whole log holds."""

import io
import time
from pathlib import Path

import polars as pl

from archiver.archiver import Archiver
from archiver.closing import Rules
from shared.archive import FolderArchive
from shared.redis_inbox import RedisInbox
from shared.retention import Retention
from shared.settings import Settings
from shared.topology import Stream
from shared.whole_log import Archived, Piece, Span, WholeLog

AT_ONCE = Rules(age_ms_max=0, rows_max=100, keep_ms=0)


def make_archiver(url: str, folder: Path, rules: Rules = AT_ONCE, partitions: int = 1) -> Archiver:
    """On a folder; everything is due at once unless the rules say otherwise."""
    archive = FolderArchive(folder)
    return Archiver(Retention(url), archive, partitions, rules, lambda: time.time_ns() // 1_000_000)


def read_piece(piece: Piece) -> list[tuple[str, bytes]]:
    """Entry id and bytes of each entry."""
    if not isinstance(piece, Archived):
        return piece
    frame = pl.read_parquet(io.BytesIO(piece.load()))
    return [
        (entry_id, payload if event is None else event.encode())
        for entry_id, event, payload in frame.select("entry_id", "event", "payload").iter_rows()
    ]


def read_all(archiver: Archiver, stream: Stream, partition: int = 0) -> list[tuple[str, bytes]]:
    """The whole log of a stream."""
    whole_log = WholeLog(archiver.retention, archiver.archive)
    return [
        entry for piece in whole_log.read(stream, Span(partition)) for entry in read_piece(piece)
    ]


def acknowledge(url: str, stream: Stream, count: int, hold: int = 0) -> RedisInbox:
    """The stream's group handles so many entries, and leaves so many more pending."""
    inbox = RedisInbox(Settings(redis_url=url), stream, f"{stream.group}-test")
    while count > 0:
        deliveries = inbox.receive(min(count, 500), 1_000)
        for delivery in deliveries:
            inbox.commit(delivery, ())
        count -= len(deliveries)
    inbox.flush()
    while hold > 0:
        hold -= len(inbox.receive(hold, 1_000))
    return inbox
