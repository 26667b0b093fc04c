"""Emptying folders that a function filled: of any depth and size, and maybe while it still writes.

Not here: when it is done (`output_folder`, `sandbox_folder`).

No recursion and no list of names: a function may nest folders deeper than any stack and make more
of them than fit into memory. Folders inside folders are moved up to the top before they are
emptied, so every step looks at two levels only. Symbolic links are removed, never followed.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

_SECONDS_MAX = 60.0  # for who writes faster than this removes
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty_folder(folder: int) -> bool:
    """Remove everything in the folder of this descriptor; whether nothing is left."""
    names = (f".{secrets.token_hex(8)}-{number}" for number in count())
    deadline = time.monotonic() + _SECONDS_MAX
    while time.monotonic() < deadline:
        found = False
        with os.scandir(folder) as entries:
            for entry in entries:
                found = True
                if not _remove(folder, entry, names):
                    return False
        if not found:
            return True
    return False


def remove_folder(path: Path) -> bool:
    """Remove a folder with everything in it; whether it is gone. May be called again."""
    with suppress(FileNotFoundError):
        folder = os.open(path, _FOLDER)
        try:
            if not empty_folder(folder):
                return False
        finally:
            os.close(folder)
        path.rmdir()
    return True


def _remove(folder: int, entry: os.DirEntry[str], names: Iterator[str]) -> bool:
    """Whether it could be removed, or may be at the next look."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=folder)
            return True
        with suppress(OSError):  # nearly always the last step of a folder, and all of an empty one
            os.rmdir(entry.name, dir_fd=folder)
            return True
        inner = _open_folder(folder, entry.name)
        try:
            _lift(inner, folder, names)
        finally:
            os.close(inner)
        with suppress(OSError):
            os.rmdir(entry.name, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return True  # it vanished or changed since it was listed
    except OSError:
        return False
    return True


def _lift(inner: int, folder: int, names: Iterator[str]) -> None:
    """Empty `inner`: its files are removed, its folders moved up."""
    with os.scandir(inner) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    os.rename(entry.name, next(names), src_dir_fd=inner, dst_dir_fd=folder)
                else:
                    os.unlink(entry.name, dir_fd=inner)


def _open_folder(parent: int, name: str) -> int:
    """Open a folder, also one whose owner took the right from himself."""
    with suppress(PermissionError):
        return os.open(name, _FOLDER, dir_fd=parent)
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101 - of a descriptor
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(found)
