"""Unpacking a function's archive: a zip from a stranger into a folder that was just made.

Not here: where archives come from and how long they stay (`code_store`, `code_cache`).

What is promised: nothing is written outside the folder, whatever the archive says; no links, no
devices, no set-id bits; what is written is world-readable and owned by nobody else; a bomb ends at
the limits, which are counted while unpacking and never taken from a header.
"""

import errno
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ARCHIVE_BYTES_MAX = 256 << 20  # packed
FILES_MAX = 50_000
UNPACKED_BYTES_MAX = 1 << 30
RATIO_MAX = 200
# Small archives of repetitive text exceed any ratio and harm nobody.
RATIO_FREE_BYTES = 16 << 20
NAME_BYTES_MAX = 1_024
PART_BYTES_MAX = 255

_CHUNK_BYTES = 1 << 18
_DIRECTORY_ENTRY = b"PK\x01\x02"
_FILE_MODE, _EXECUTABLE_MODE, _FOLDER_MODE = 0o644, 0o755, 0o755
_MADE_ON_UNIX = 3
# What zipfile raises for hostile bytes, as the tests of damaged archives found it.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others decompress without a bound


class ArchiveError(Exception):
    """The archive is refused; the message tells the sender what to mend."""


def unpack(archive: Path, folder: Path) -> int:
    """Unpack into the empty `folder`; returns the bytes written. Raises ArchiveError."""
    _check_directory_size(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            return _unpack_members(opened, folder, archive.stat().st_size)
    except _DAMAGED as error:
        raise ArchiveError(f"is damaged or no zip archive: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # seen for members that claim to lie before the file
            raise
        raise ArchiveError("is damaged: a member lies outside the archive") from error


def _check_directory_size(archive: Path) -> None:
    """Refuse a flood of members before zipfile makes an object of each."""
    found = 0
    with archive.open("rb") as file:
        magic = file.read(4)
        if magic[:2] == b"\x1f\x8b":
            raise ArchiveError("is a gzip file; pack the function as a zip archive")
        while chunk := file.read(_CHUNK_BYTES):
            found += chunk.count(_DIRECTORY_ENTRY)
    if found > 2 * FILES_MAX:  # stored archives inside the archive have directories of their own
        raise ArchiveError(f"has more than {FILES_MAX} members")


def _unpack_members(opened: zipfile.ZipFile, folder: Path, archive_bytes: int) -> int:
    members = opened.infolist()
    if not members:
        raise ArchiveError("is empty")
    if len(members) > FILES_MAX:
        raise ArchiveError(f"has {len(members)} members; at most {FILES_MAX} are unpacked")
    budget = _Budget(min(UNPACKED_BYTES_MAX, max(RATIO_FREE_BYTES, RATIO_MAX * archive_bytes)))
    names = _Names()
    for member in members:
        parts = read_name(member)
        _check_kind(member)
        names.add(parts, folder=member.is_dir())
        _make_folders(folder, parts if member.is_dir() else parts[:-1])
        if not member.is_dir():
            with opened.open(member) as source:
                before = budget.written
                _write(folder.joinpath(*parts), source, _mode_of(member, parts), budget)
            if budget.written - before != member.file_size:
                shown = ascii(member.orig_filename[:100])
                raise ArchiveError(f"is damaged: {shown} has another size than its header says")
    folder.chmod(_FOLDER_MODE)
    return budget.written


def read_name(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of a member's name, all of them plain; raises ArchiveError for any other."""
    name = member.orig_filename
    shown = ascii(name[:100])
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ArchiveError(f"names {shown}: control characters are not allowed")
    if "\\" in name:
        raise ArchiveError(f"names {shown}: use / between folders, not \\")
    if name.startswith("/") or name[1:2] == ":":
        raise ArchiveError(f"names {shown}: names must be relative to the function's folder")
    parts = name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ArchiveError(f"names {shown}: names must not lead out of the function's folder")
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError as error:
        raise ArchiveError(f"names {shown}: not Unicode") from error
    if max(sizes) > PART_BYTES_MAX or sum(sizes) + len(sizes) > NAME_BYTES_MAX:
        raise ArchiveError(f"names {shown}...: too long")
    return tuple(parts)


def _check_kind(member: zipfile.ZipInfo) -> None:
    shown = ascii(member.orig_filename[:100])
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise ArchiveError(f"holds the link {shown}; put the file itself in (zip without -y)")
    if kind not in (0, stat.S_IFDIR if member.is_dir() else stat.S_IFREG):
        raise ArchiveError(f"holds {shown}, which is neither a file nor a folder")
    if member.flag_bits & 0x1:
        raise ArchiveError(f"holds {shown} encrypted; pack it without a password")
    if member.compress_type not in _METHODS:
        raise ArchiveError(f"holds {shown} packed by method {member.compress_type}; use deflate")


class _Names:
    """The names so far, as a file system would see them that ignores case and composition."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, bool]] = {}  # folded -> exact, whether a folder

    def add(self, parts: tuple[str, ...], *, folder: bool) -> None:
        """Remember a member and its parents; raises ArchiveError where two names collide."""
        for length in range(1, len(parts) + 1):
            exact = "/".join(parts[:length])
            is_folder = folder or length < len(parts)
            folded = unicodedata.normalize("NFC", exact).casefold()
            if folded not in self._seen:
                self._seen[folded] = (exact, is_folder)
            elif self._seen[folded] != (exact, True) or not is_folder:
                first, second = ascii(self._seen[folded][0][:100]), ascii(exact[:100])
                raise ArchiveError(f"names one place twice: {first} and {second}")


class _Budget:
    """Bytes that may still be written."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.written = 0

    def spend(self, count: int) -> None:
        """Count what was unpacked; raises ArchiveError beyond the limit."""
        self.written += count
        if self.written > self._bytes_max:
            reason = f"unpacks to more than {self._bytes_max} bytes, too many for its size"
            raise ArchiveError(reason)


def _make_folders(root: Path, parts: tuple[str, ...]) -> None:
    place = root
    for part in parts:
        place /= part
        if not place.is_dir():
            place.mkdir()
            place.chmod(_FOLDER_MODE)  # mkdir obeys the umask


def _write(target: Path, source: IO[bytes], mode: int, budget: _Budget) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(target, flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in _chunks(source):
            budget.spend(len(chunk))
            file.write(chunk)
        os.fchmod(descriptor, mode)  # open obeys the umask


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def _mode_of(member: zipfile.ZipInfo, parts: tuple[str, ...]) -> int:
    if member.create_system == _MADE_ON_UNIX:
        executable = bool((member.external_attr >> 16) & 0o111)
    else:
        executable = parts == ("bootstrap",)  # made where files have no such bit
    return _EXECUTABLE_MODE if executable else _FILE_MODE
