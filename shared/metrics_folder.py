"""The folder where the metrics of one host meet, made safe before prometheus_client is imported.

Its files are mapped into memory. A page that the disk has no room for kills the process with SIGBUS
at the first count of an event, so the room is taken while that can still be refused. Not here: the
metrics (`metrics`).
"""

import os
from contextlib import suppress
from pathlib import Path

# What prometheus_client calls the files of each kind that there is, and more than is in them after
# a day of work. Files of processes that are gone stay, so it is not more.
_BYTES = {
    "counter": 1 << 16,
    "histogram": 1 << 16,
    "gauge_livemax": 1 << 14,
    "gauge_livemostrecent": 1 << 14,
    "gauge_livesum": 1 << 14,
    "gauge_all": 1 << 14,
    "gauge_max": 1 << 14,
    "gauge_mostrecent": 1 << 14,
}


def reserve(folder: Path) -> bool:
    """Take the room for this process's files; False, and nothing is left, where there is none."""
    paths = {folder / f"{kind}_{os.getpid()}.db": size for kind, size in _BYTES.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, size_bytes in paths.items():
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError:
        for path in paths:
            with suppress(OSError):
                path.unlink()
        return False
    return True
