"""Function archives: from S3 to an unpacked folder, looked at again only now and then.

Not here: reading S3 (`code_source`), unpacking (`archive`), the folders on disk (`code_cache`).

`peek` answers warm calls from memory. `fetch` may look at S3 and block; each `fetch` pins the
folder until one `release`, so that what a sandbox runs from is never evicted under it.
"""

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from executor.archive import ArchiveError, unpack
from executor.code_cache import CodeCache
from executor.code_source import CodeRejectedError, CodeSource, CodeUnavailableError, Download
from shared import metrics
from shared.events import Code
from shared.logging import log_event
from shared.settings import Settings

__all__ = ["HOST_SHORTAGES", "CodeRejectedError", "CodeStore", "CodeUnavailableError", "StoredCode"]

LOG = logging.getLogger(__name__)

HOST_SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)


@dataclass(frozen=True, slots=True)
class StoredCode:
    """An unpacked archive."""

    path: Path
    sha256: str  # of the archive, hex
    derived: str | None = None  # the key of what was made of it, which lies in `path` then


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest version of an object that was seen, and why it was refused, if it was."""

    stored: StoredCode
    etag: str
    looked_at_s: float
    refused: str | None = None


@dataclass(slots=True)
class _Fetching:
    """Who fetches an object holds the lock, so that it is downloaded once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class CodeStore:
    """The archives of this host. Safe for several threads."""

    def __init__(
        self,
        settings: Settings,
        s3: Any,  # noqa: ANN401 - boto3 makes its clients at run time
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = Path(settings.state_dir).absolute() / "code"
        self._cache = CodeCache(self._root, settings.code_cache_mb << 20)
        self._source = CodeSource(s3)
        self._check_seconds = settings.code_check_seconds
        self._clock_s = clock_s
        self._known: dict[tuple[str, str], _Known] = {}
        self._fetching: dict[tuple[str, str], _Fetching] = {}
        self._lock = threading.Lock()

    def peek(self, code: Code) -> StoredCode | None:
        """The unpacked archive if it was looked at lately and is in use; never blocks.

        Does not pin: a sandbox that runs from the folder has it pinned already.
        """
        known = self._fresh(code)
        if known is None or known.refused or not _is_asked_for(code, known.stored):
            return None
        return known.stored if self._cache.is_pinned(known.stored.sha256) else None

    def take(self, code: Code) -> StoredCode | None:
        """What `fetch` would return, where that takes neither S3 nor waiting; pinned like that."""
        known = self._fresh(code)
        if known is None or known.refused or not _is_asked_for(code, known.stored):
            return None
        return None if self._cache.pin(known.stored.sha256) is None else known.stored

    def fetch(self, code: Code) -> StoredCode:
        """The unpacked archive, pinned until `release`. Blocks.

        S3 is asked at most every `code_check_seconds` for one object, except that a `sha256` that
        does not match is looked for at once. Raises CodeRejectedError for what the sender must
        mend, CodeUnavailableError for what may work later.
        """
        with self._alone(code):
            known = self._fresh(code)
            # What was refused may be mended: the sender must not wait to see it.
            if known is None or known.refused or not _is_asked_for(code, known.stored):
                known = self._look(code)
            if known.refused is None and self._cache.pin(known.stored.sha256) is None:
                self._forget(code)  # evicted, here or by another process
                known = self._look(code)
                if known.refused is None and self._cache.pin(known.stored.sha256) is None:
                    raise CodeUnavailableError("the code cache is too small for its functions")
        return self._answer(code, known)

    def release(self, stored: StoredCode) -> None:
        """Nothing of one `fetch` runs from the folder any more."""
        self._cache.release(stored.sha256)
        if stored.derived is not None:
            self._cache.release(stored.derived)

    def find_derived(self, stored: StoredCode, key: str) -> StoredCode | None:
        """What was made of an archive that is pinned, pinned too; None where it is to be made."""
        path = self._cache.pin(key)
        return None if path is None else replace(stored, path=path, derived=key)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder on the cache's file system, for a while."""
        folder = self._cache.make_temporary()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish_derived(
        self, stored: StoredCode, key: str, folder: Path, size_bytes: int
    ) -> StoredCode:
        """Keep what was made of an archive in the cache; pinned, as `find_derived`."""
        path = self._cache.publish(key, folder, size_bytes)
        self._evict()
        return replace(stored, path=path, derived=key)

    def _answer(self, code: Code, known: _Known) -> StoredCode:
        if known.refused is not None:
            raise CodeRejectedError("s3Key", known.refused)
        if not _is_asked_for(code, known.stored):
            self._cache.release(known.stored.sha256)
            reason = (
                f"codeSha256 is {code.sha256}, but s3://{code.bucket}/{code.key} has "
                f"{known.stored.sha256}: upload the archive again or mend codeSha256"
            )
            raise CodeRejectedError("codeSha256", reason)
        return known.stored

    def _fresh(self, code: Code) -> _Known | None:
        known = self._known.get((code.bucket, code.key))
        if known is None or self._clock_s() - known.looked_at_s >= self._check_seconds:
            return None
        return known

    def _forget(self, code: Code) -> None:
        self._known.pop((code.bucket, code.key), None)

    @contextmanager
    def _alone(self, code: Code) -> Iterator[None]:
        """One thread at a time for an object; an object that nobody fetches needs no lock."""
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

    def _look(self, code: Code) -> _Known:
        """Ask S3 whether the object changed, and take the new version if so."""
        known = self._known.get((code.bucket, code.key))
        looked_at_s = self._clock_s()
        temporary = self._cache.make_temporary()
        try:
            download = self._source.download(
                code, temporary / "archive", known.etag if known else None
            )
            if download is not None:
                known = self._take(code, download, temporary)
                metrics.CODE_FETCHES.labels("refused" if known.refused else "downloaded").inc()
            else:
                metrics.CODE_FETCHES.labels("unchanged").inc()
        except CodeRejectedError:
            metrics.CODE_FETCHES.labels("refused").inc()
            self._forget(code)
            raise
        except CodeUnavailableError as error:
            # What ran a minute ago may run on while S3 is away; the sender's own hash decides.
            if known is None or not _is_asked_for(code, known.stored):
                raise
            metrics.CODE_FETCHES.labels("stale").inc()
            log_event(
                LOG,
                "code.stale",
                level=logging.WARNING,
                object=f"{code.bucket}/{code.key}",
                reason=error,
            )
        except OSError as error:
            if error.errno not in HOST_SHORTAGES:
                raise
            raise CodeUnavailableError(f"the code cache: {error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        assert known is not None, "S3 calls unchanged what was never seen"
        self._known[code.bucket, code.key] = known = replace(known, looked_at_s=looked_at_s)
        return known

    def _take(self, code: Code, download: Download, temporary: Path) -> _Known:
        """Unpack and publish a downloaded archive, unless it is here already."""
        stored = StoredCode(self._root / download.sha256, download.sha256)
        if not stored.path.is_dir():
            unpacked = temporary / "unpacked"
            unpacked.mkdir()
            try:
                size_bytes = unpack(temporary / "archive", unpacked)
            except ArchiveError as error:
                # Remembered, so that a bomb is not unpacked at every call.
                refused = f"s3://{code.bucket}/{code.key} {error}"
                return _Known(stored, download.etag, 0, refused)
            self._cache.publish(stored.sha256, unpacked, size_bytes)
            self._evict()
            self._cache.release(stored.sha256)
        return _Known(stored, download.etag, 0)

    def _evict(self) -> None:
        gone = set(self._cache.evict())
        for place, known in list(self._known.items()):
            if known.stored.sha256 in gone:
                self._known.pop(place, None)


def _is_asked_for(code: Code, stored: StoredCode) -> bool:
    return code.sha256 in (None, stored.sha256)
