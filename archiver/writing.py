"""Writing a stretch: the file, then the line of the manifest that makes it count.

Not here: which entries, and what Redis is told (`archiver`).
"""

from hashlib import sha256

from msgspec import json

from archiver.table import write_parquet
from shared.archive import Archive
from shared.retention import Entries
from shared.stretch import Bounds, Stretch, name_file, name_line
from shared.topology import Stream

_encoder = json.Encoder()


def write_stretch(
    archive: Archive, place: tuple[Stream, int], bounds: Bounds, entries: Entries
) -> Stretch:
    """Of a stream and partition. Written again it is the same, byte for byte.

    Raises ArchiveUnavailableError.
    """
    stream, partition = place
    content = write_parquet(entries)
    stretch = Stretch(
        stream=stream.name,
        partition=partition,
        after=bounds.after,
        first=bounds.first,
        last=bounds.last,
        rows=bounds.rows,
        file=name_file(stream.name, partition, bounds),
        bytes=len(content),
        sha256=sha256(content).hexdigest(),
    )
    archive.put(stretch.file, content)
    line = name_line(stream.name, partition, bounds.first, bounds.last)
    archive.put(line, _encoder.encode(stretch))
    return stretch
