"""A folder as the archive that lies in S3: the same bytes for the same files, wherever it is made.

Not here: what the executor accepts (`executor/archive`), uploading (`deployed`).

Order, times and owners are fixed; of a file's mode only whether it can be run is kept. Another
version of zlib may compress to other bytes: then the archive has another name, nothing else.
"""

import fnmatch
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

IGNORE_FILE = ".hearthignore"
IGNORED = (  # what no function needs, and what should not leave the machine
    ".git",
    ".hg",
    ".svn",
    ".hearth",
    IGNORE_FILE,
    ".env",
    ".env.*",
    ".venv",
    "venv",
    "__pycache__",
    "*.pyc",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".tox",
    ".idea",
    ".vscode",
    ".DS_Store",
    "Thumbs.db",
    "node_modules/.bin",
    "node_modules/.cache",
)
_FIRST_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can tell
_MADE_ON_UNIX = 3
_LEVEL = 6


class PackageError(Exception):
    """The folder cannot be packed; the message says what to mend."""


def pack(folder: Path) -> bytes:
    """The archive of a folder. Raises PackageError."""
    names = sorted(list_files(folder))
    if not names:
        raise PackageError(
            f"{folder} holds no file to deploy (ignored: see `hearth deploy --help`)"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            path = folder / name
            member = zipfile.ZipInfo(name, _FIRST_MOMENT)
            member.create_system = _MADE_ON_UNIX
            member.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, path.read_bytes(), compresslevel=_LEVEL)
    return buffer.getvalue()


def list_files(folder: Path) -> Iterator[str]:
    """The names of what is packed, with / between folders."""
    patterns = (*IGNORED, *read_ignore_file(folder))
    root = folder.resolve()
    for place, folders, files in os.walk(folder):
        relative = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not is_ignored(relative / name, patterns)]
        for name in (*folders, *files):
            path = relative / name
            if is_ignored(path, patterns):
                continue
            _check_kind(folder / path, root)
            if name in files:
                yield path.as_posix()


def read_ignore_file(folder: Path) -> list[str]:
    """The patterns in the folder's own list: one a line, # for comments."""
    path = folder / IGNORE_FILE
    if not path.is_file():
        return []
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line.strip("/") for line in lines if line and not line.startswith("#")]


def is_ignored(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern names it: by its name anywhere, or by its way from the folder."""
    way = PurePosixPath(path.as_posix())
    return any(
        fnmatch.fnmatchcase(way.name, pattern)
        or ("/" in pattern and fnmatch.fnmatchcase(str(way), pattern))
        for pattern in patterns
    )


def _check_kind(path: Path, root: Path) -> None:
    """A link to a file inside is packed as that file; any other link would be lost or leak."""
    if path.is_symlink():
        target = path.resolve()
        if path.is_dir() or not target.is_relative_to(root):
            raise PackageError(
                f"{path} is a link to {target}: put the files themselves there, or name it in "
                f"{IGNORE_FILE}"
            )
    if not path.is_dir() and not path.is_file():
        raise PackageError(f"{path} is neither a file nor a folder: name it in {IGNORE_FILE}")
