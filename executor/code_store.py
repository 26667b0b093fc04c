"""Function archives: from S3 to an unpacked folder, looked at again only now and then.

Not here: reading S3 (`code_source`), unpacking (`archive`), the folders on disk (`code_cache`).

`peek` answers warm calls from memory. `fetch` may look at S3 and block; each `fetch` pins the
folder until one `release`, so that what a sandbox runs from is never evicted under it.
"""

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor.archive import ArchiveError, unpack
from executor.code_cache import CodeCache
from executor.code_source import (
    CodeRejectedError,
    CodeSource,
    CodeUnavailableError,
    Unchanged,
)
from shared import metrics
from shared.events import Code
from shared.settings import Settings

__all__ = ["CodeRejectedError", "CodeStore", "CodeUnavailableError", "StoredCode"]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)


@dataclass(frozen=True, slots=True)
class StoredCode:
    """An unpacked archive."""

    path: Path
    sha256: str  # of the archive, hex


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest version of an object that was seen."""

    stored: StoredCode
    etag: str
    looked_at_s: float


@dataclass(slots=True)
class _Fetching:
    """Who fetches an object holds the lock, so that it is downloaded once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class CodeStore:
    """The archives of this host. Safe for several threads."""

    def __init__(
        self, settings: Settings, s3: Any, clock_s: Callable[[], float] = time.monotonic  # noqa: ANN401
    ) -> None:
        root = Path(settings.state_dir).absolute() / "code"
        self._cache = CodeCache(root, settings.code_cache_mb << 20)
        self._source = CodeSource(s3)
        self._check_seconds = settings.code_check_seconds
        self._clock_s = clock_s
        self._known: dict[tuple[str, str], _Known] = {}
        self._fetching: dict[tuple[str, str], _Fetching] = {}
        self._lock = threading.Lock()

    def peek(self, code: Code) -> StoredCode | None:
        """The unpacked archive if it was looked at lately and is in use; never blocks.

        Does not pin: whoever runs from the folder already has it pinned.
        """
        known = self._fresh(code)
        return known if known is not None and self._cache.is_pinned(known.sha256) else None

    def fetch(self, code: Code) -> StoredCode:
        """The unpacked archive, pinned until `release`. Blocks.

        S3 is asked at most every `code_check_seconds` for one object.
        Raises CodeRejectedError for what the sender must mend, CodeUnavailableError for what may
        work later.
        """
        with self._alone(code):
            fresh = self._fresh(code)
            if fresh is not None and self._cache.pin(fresh.sha256) is not None:
                return fresh
            try:
                return self._look(code)
            except OSError as error:
                if error.errno in _DISK_FULL:
                    raise CodeUnavailableError(f"the code cache: {error}") from error
                raise

    def release(self, stored: StoredCode) -> None:
        """Nothing of one `fetch` runs from the folder any more."""
        self._cache.release(stored.sha256)

    def _fresh(self, code: Code) -> StoredCode | None:
        known = self._known.get((code.bucket, code.key))
        if known is None or self._clock_s() - known.looked_at_s >= self._check_seconds:
            return None
        return known.stored if code.sha256 in (None, known.stored.sha256) else None

    @contextmanager
    def _alone(self, code: Code) -> Iterator[None]:
        """One thread at a time for an object; what nobody waits for is forgotten."""
        place = (code.bucket, code.key)
        with self._lock:
            fetching = self._fetching.setdefault(place, _Fetching())
            fetching.users += 1
        try:
            with fetching.lock:
                yield
        finally:
            with self._lock:
                fetching.users -= 1
                if fetching.users == 0:
                    del self._fetching[place]

    def _look(self, code: Code) -> StoredCode:
        """Ask S3 for the object, or whether it changed."""
        place = (code.bucket, code.key)
        known = self._known.get(place)
        if known is not None and self._cache.pin(known.stored.sha256) is None:
            known = None  # evicted
        looked_at_s = self._clock_s()
        try:
            stored, etag = self._obtain(code, known)
        except (CodeRejectedError, CodeUnavailableError):
            self._known.pop(place, None) ...
