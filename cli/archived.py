"""Entries of one invocation in the archive, newest first.

Not here: what is live, and what is shown. Files are fetched one by one until somebody has enough.
"""

import io
from collections.abc import Iterator

from shared.archive import Archive
from shared.stretch import parse_entry_id
from shared.topology import Stream
from shared.whole_log import list_places, load


def search(archive: Archive, stream: Stream, invocation_id: str) -> Iterator[bytes]:
    """The events of an invocation. Raises ArchiveUnavailableError."""
    import polars as pl  # noqa: PLC0415 - a third of a second, and mostly the entry is live

    places = list_places(archive, stream)
    for place in sorted(places, key=lambda one: parse_entry_id(one.last), reverse=True):
        frame = pl.read_parquet(
            io.BytesIO(load(archive, place)), columns=["invocation_id", "event"]
        )
        found = frame.filter(pl.col("invocation_id") == invocation_id).get_column("event")
        for event in reversed(found.to_list()):
            yield event.encode()
