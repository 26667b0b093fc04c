"""OUTPUT_DIR as the executor sees it: a folder on its disk that one sandbox can write to.

Not here: what is uploaded of it (`output_files`), how it gets into the sandbox.

Everything in it is untrusted, and its owner may change it at any moment: each step goes by open
descriptors and follows no link.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from executor.empty_folder import empty_folder

DEPTH_MAX = 32
ENTRIES_MAX = 10_000  # files, folders and all else
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's


class Found(NamedTuple):
    """One entry under the folder."""

    path: str  # relative
    status: os.stat_result  # of itself, not of what it may link to


class TooManyEntriesError(Exception):
    """There is more in the folder than anybody counts."""


class OutputFolder:
    """The folder of one sandbox. `was_written` is for the loop, the rest for other threads."""

    def __init__(self, folder: int) -> None:
        """Take over the descriptor of the folder, which is empty."""
        self._folder = folder
        self._changed_at_ns = os.fstat(folder).st_ctime_ns

    @classmethod
    def open(cls, path: Path) -> "OutputFolder":
        """The folder at `path`, which is empty."""
        return cls(os.open(path, _FOLDER))

    def duplicate(self) -> "OutputFolder":
        """The same with a descriptor of its own, for a look at what is in it."""
        return OutputFolder(os.dup(self._folder))

    def was_written(self) -> bool:
        """Whether anything was put in since it was empty: one system call.

        The kernel's time of change, which functions cannot set.
        """
        return os.fstat(self._folder).st_ctime_ns != self._changed_at_ns

    def find(self) -> Iterator[Found]:
        """Everything in it, in no order. Raises TooManyEntriesError."""
        for number, found in enumerate(_walk(self._folder, "", 1)):
            if number >= ENTRIES_MAX:
                raise TooManyEntriesError
            yield found

    def measure_bytes(self) -> int:
        """What it takes on the disk. Raises TooManyEntriesError."""
        return sum(found.status.st_blocks for found in self.find()) * _BLOCK_BYTES

    def free_bytes(self) -> int:
        """What is left on its disk for anybody."""
        disk = os.fstatvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

    def open_file(self, path: str) -> int:
        """A descriptor of a plain file in it; raises OSError for anything else on the way."""
        folder, *names = os.dup(self._folder), *path.split("/")
        try:
            for name in names[:-1]:
                inner = os.open(name, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            file = os.open(names[-1], _FILE, dir_fd=folder)
        finally:
            os.close(folder)
        if is_plain(os.fstat(file)):
            return file
        os.close(file)
        raise FileNotFoundError(path)

    def empty(self) -> bool:
        """Remove everything; False where that was not possible."""
        if not empty_folder(self._folder):
            return False
        self._changed_at_ns = os.fstat(self._folder).st_ctime_ns
        # The kernel's clock for this goes in steps: what comes next must be in another one.
        while time.clock_gettime_ns(_COARSE) <= self._changed_at_ns:
            time.sleep(0.001)
        return True

    def close(self) -> None:
        """Close the descriptor; may be called again."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


_COARSE = 5  # CLOCK_REALTIME_COARSE of linux/time.h, which Python does not name


def is_plain(status: os.stat_result) -> bool:
    """Whether it is a file with this one name: a second name could be another's file."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _walk(folder: int, prefix: str, depth: int) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield Found(prefix + entry.name, entry.stat(follow_symlinks=False))
            if depth < DEPTH_MAX and entry.is_dir(follow_symlinks=False):
                inner = -1
                with suppress(OSError):
                    inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                if inner >= 0:
                    try:
                        yield from _walk(inner, f"{prefix}{entry.name}/", depth + 1)
                    finally:
                        os.close(inner)
