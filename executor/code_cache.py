"""Unpacked archives on disk, by the SHA-256 of the archive: pinned while used, evicted when old.

Not here: where archives come from (`code_store`) and how they are unpacked (`archive`).

Several executors of one host may share the folder. Beside `<sha256>/` lies `<sha256>.lock`: whoever
uses the folder holds the lock shared, whoever removes it needs the lock alone, and the kernel lets
go of the locks of the dead. The lock's text is the size of the folder, its time the last use.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared import metrics

_TEMPORARY = ".unpacking-"
_LEFTOVER_AFTER_S = 3_600


@dataclass(slots=True)
class _Pin:
    descriptor: int
    count: int


class CodeCache:
    """The folder of unpacked archives. Safe for several threads and processes."""

    def __init__(self, root: Path, bytes_max: int) -> None:
        self._root = root
        self._bytes_max = bytes_max
        self._pins: dict[str, _Pin] = {}
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root)
        metrics.CODE_BYTES.set(sum(map(_read_size, root.glob("*.lock"))))

    def pin(self, sha256: str) -> Path | None:
        """The folder of an archive, kept until `release`; None where it is not on disk."""
        folder = self._root / sha256
        with self._lock:
            if sha256 not in self._pins and not folder.is_dir():
                return None
            self._acquire(sha256)
            if folder.is_dir():
                return folder
            self._let_go(sha256)  # evicted by another process before we had the lock
            return None

    def release(self, sha256: str) -> None:
        """Undo one `pin` or `publish`."""
        with self._lock:
            self._let_go(sha256)

    def is_pinned(self, sha256: str) -> bool:
        """Whether this process uses the folder now, so that it is surely there."""
        return sha256 in self._pins

    def make_temporary(self) -> Path:
        """An empty folder on the same file system, to be published or removed by the caller."""
        return Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._root))

    def publish(self, sha256: str, unpacked: Path, size_bytes: int) -> Path:
        """Make `unpacked` the folder of an archive, pinned; of two publishers the first wins."""
        folder = self._root / sha256
        with self._lock:
            self._acquire(sha256)
            if not folder.is_dir():
                os.pwrite(self._pins[sha256].descriptor, b"%d\n" % size_bytes, 0)
                _rename_unless_there(unpacked, folder)
        return folder

    def evict(self) -> list[str]:
        """Remove the least recently used folders until the rest fits; returns what was removed.

        Never what anyone uses, so the rest may not fit.
        """
        locks = sorted(self._root.glob("*.lock"), key=_used_at)
        sizes = {lock.stem: _read_size(lock) for lock in locks}
        excess = sum(sizes.values()) - self._bytes_max
        removed = []
        for sha256, size_bytes in sizes.items():
            if excess <= 0:
                break
            if self._remove(sha256):
                excess -= size_bytes
                removed.append(sha256)
        metrics.CODE_EVICTIONS.inc(len(removed))
        metrics.CODE_BYTES.set(excess + self._bytes_max)
        return removed

    def _acquire(self, sha256: str) -> None:
        pin = self._pins.get(sha256)
        if pin is None:
            descriptor = _open_lock(self._root / f"{sha256}.lock", fcntl.LOCK_SH)
            os.utime(descriptor)
            self._pins[sha256] = pin = _Pin(descriptor, 0)
        pin.count += 1

    def _let_go(self, sha256: str) -> None:
        pin = self._pins[sha256]
        pin.count -= 1
        if pin.count == 0:
            del self._pins[sha256]
            os.utime(pin.descriptor)
            os.close(pin.descriptor)

    def _remove(self, sha256: str) -> bool:
        """Remove a folder unless it is in use anywhere."""
        lock = self._root / f"{sha256}.lock"
        with self._lock:
            if sha256 in self._pins:
                return False
            try:
                descriptor = _open_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            try:
                # Renamed first: a reader sees the whole folder or none.
                doomed = self.make_temporary()
                _rename_if_there(self._root / sha256, doomed / sha256)
                lock.unlink()
            finally:
                os.close(descriptor)
        shutil.rmtree(doomed, ignore_errors=True)
        return True


def _open_lock(path: Path, how: int) -> int:
    """The lock file, locked. One that was removed between opening and locking is opened again."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
        os.close(descriptor)


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _rename_if_there(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        source.rename(target)


def _used_at(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read_size(lock: Path) -> int:
    """The size that `publish` noted; 0 where it died before or another process evicts now."""
    try:
        return int(lock.read_text().partition("\n")[0] or 0)
    except (FileNotFoundError, ValueError):
        return 0


def _remove_leftovers(root: Path) -> None:
    """What a process that died while unpacking or evicting left; a living one is not so slow."""
    for folder in root.glob(f"{_TEMPORARY}*"):
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _LEFTOVER_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)
