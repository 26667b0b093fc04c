"""What a function writes to its log: the beginning in memory, all of it on disk once it is long.

Not here: the socket it comes by (`seat`), the upload (`transfers`).

A flood costs the executor a write to the page cache for each read, and never more memory.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


@dataclass(slots=True)
class LogFile:
    """A long log, without a name on the disk: it is gone when it is closed."""

    descriptor: int
    size_bytes: int = 0

    def close(self) -> None:
        """Let go of it; may be called again."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Log(NamedTuple):
    """The log of one invocation."""

    text: str
    truncated: bool = False  # `text` is not all of it
    file: LogFile | None = None  # all of it, where it was kept


@dataclass(slots=True)
class LogSpool:
    """The log of a sandbox from call to call."""

    folder: Path
    inline_bytes_max: int
    bytes_max: int
    _begin: bytearray = field(default_factory=bytearray)
    _file: LogFile | None = None
    _truncated: bool = False

    def write(self, data: bytes) -> None:
        """Keep what was read, as far as the bounds go."""
        room = self.inline_bytes_max - len(self._begin)
        self._begin += data[:room]
        if len(data) > room:
            self._spill(data[room:])

    def take(self) -> Log:
        """Everything since the last time; the caller closes the file."""
        text = self._begin.decode(errors="replace")
        # Control characters take six bytes each in JSON: they would break the event's bound.
        text = "".join(c if c >= " " or c in "\n\t" else "\ufffd" for c in text)
        log = Log(text, self._truncated, self._file)
        self._begin.clear()
        self._file, self._truncated = None, False
        return log

    def close(self) -> None:
        """Nobody takes the rest."""
        if self._file is not None:
            self._file.close()

    def _spill(self, data: bytes) -> None:
        is_first = not self._truncated
        self._truncated = True
        if is_first and self.bytes_max > self.inline_bytes_max:
            with suppress(OSError):  # no disk for it: the beginning is what there is
                self._file = _create(self.folder)
                self._append(self._begin)
        self._append(data)

    def _append(self, data: bytes | bytearray) -> None:
        file = self._file
        if file is None:
            return
        room = self.bytes_max - file.size_bytes
        with suppress(OSError):  # a full disk: what was kept so far is kept
            file.size_bytes += os.write(file.descriptor, data[:room]) if room else 0


def _create(folder: Path) -> LogFile:
    path = folder / "log"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    path.unlink()
    return LogFile(descriptor)
