"""The files that a function left in OUTPUT_DIR: which of them count, and their way to S3.

Not here: the folder (`output_folder`), when this is done (`loop`).

Plain files count. Links, pipes, devices, sockets and what cannot be read are left out and named in
the log of the invocation; too many or too large, and the invocation failed.
"""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from stat import S_ISDIR, S_ISLNK
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import json
from s3transfer.manager import TransferConfig, TransferManager

from executor.output_folder import (
    DEPTH_MAX,
    ENTRIES_MAX,
    OutputFolder,
    TooManyEntriesError,
    is_plain,
)
from shared import metrics
from shared.events import S3Object

FILES_MAX = 1_000
NAMES_BYTES_MAX = 32 * 1024  # of the places in an event; longer lists go to S3
_KEY_BYTES_MAX = 1_024  # S3's
_LEFT_OUT_SHOWN = 20
_NAME_SHOWN = 200
_AT_ONCE = 16  # files that are open
_ODD = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")  # surrogates: how Python shows such bytes
_ABSENT = (BotoCoreError, ClientError, OSError)
_TRANSFER = TransferConfig(max_request_concurrency=4, max_submission_concurrency=2)


class OutputFilesError(Exception):
    """The sender's failure: more in OUTPUT_DIR than is taken. The text says what to mend."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What counts of the folder, and what does not."""

    files: tuple[str, ...]  # relative paths, sorted
    left_out: tuple[str, ...]  # each with its reason

    def without_missing(self, places: Iterable[S3Object], prefix: str) -> "Selection":
        """The same, where what is not among the uploaded is left out too."""
        keys = {place.key for place in places}
        missing = [path for path in self.files if prefix + make_name(path) not in keys]
        reasons = (f"{make_name(path)[:_NAME_SHOWN]}: gone, or closed to us" for path in missing)
        return Selection(self.files, (*self.left_out, *reasons))

    def describe_left_out(self) -> str:
        """Lines for the log of the invocation; empty where nothing was left out."""
        if not self.left_out:
            return ""
        shown = [f"OUTPUT_DIR: left out {line}\n" for line in self.left_out[:_LEFT_OUT_SHOWN]]
        more = len(self.left_out) - len(shown)
        return "".join([*shown, f"OUTPUT_DIR: left out {more} more\n" if more else ""])


def select_files(folder: OutputFolder, bytes_max: int, prefix: str) -> Selection:
    """Look at everything in the folder. Raises OutputFilesError."""
    files, left_out, size_bytes = [], [], 0
    keys: set[str] = set()
    try:
        for path, status in folder.find():
            reason = _refuse(path, status, prefix, keys)
            if reason:
                left_out.append(f"{make_name(path)[:_NAME_SHOWN]}: {reason}")
            elif is_plain(status):
                files.append(path)
                keys.add(make_name(path))
                size_bytes += status.st_size
    except TooManyEntriesError:
        raise OutputFilesError(explain_entries()) from None
    if len(files) > FILES_MAX:
        message = (
            f"OUTPUT_DIR holds {len(files)} files; at most {FILES_MAX} are taken: "
            "pack them into an archive"
        )
        raise OutputFilesError(message)
    if size_bytes > bytes_max:
        raise OutputFilesError(explain_size(size_bytes, bytes_max))
    return Selection(tuple(sorted(files)), tuple(sorted(left_out)))


def explain_size(size_bytes: int, bytes_max: int) -> str:
    """What to tell whose files are too large."""
    return (
        f"OUTPUT_DIR holds {size_bytes} bytes; at most {bytes_max} are taken: "
        "write less, or raise OUTPUT_DIR_MB on the executor"
    )


def explain_entries() -> str:
    """What to tell whose files are too many to count."""
    return (
        f"OUTPUT_DIR holds more than {ENTRIES_MAX} files and folders; at most {FILES_MAX} files "
        "are taken: pack them into an archive"
    )


def make_name(path: str) -> str:
    """The path as a part of a key: bytes that are no text, and control characters, as %XX."""
    return _ODD.sub(lambda odd: f"%{ord(odd[0]) & 0xFF:02X}", path)


def fits_event(places: Sequence[S3Object]) -> bool:
    """Whether the list of places is short enough for an event."""
    return len(json.encode(places)) <= NAMES_BYTES_MAX


class OutputUploader:
    """Puts files into a bucket, large ones in parts. Safe for several threads."""

    def __init__(self, s3: Any, bucket: str) -> None:  # noqa: ANN401 - boto3's, made at run time
        self._s3 = s3
        self._bucket = bucket

    def upload(self, folder: OutputFolder, files: Iterable[str], prefix: str) -> list[S3Object]:
        """Where the files are now; those that vanished meanwhile are nowhere.

        Raises BotoCoreError or ClientError; it may be called again then.
        """
        places: list[S3Object] = []
        names = iter(files)
        with TransferManager(self._s3, _TRANSFER) as manager:
            while some := list(islice(names, _AT_ONCE)):
                places += self._upload_some(manager, folder, some, prefix)
        return places

    def _upload_some(
        self, manager: TransferManager, folder: OutputFolder, files: list[str], prefix: str
    ) -> list[S3Object]:
        descriptors, under_way = [], []
        try:
            for path in files:
                try:
                    descriptors.append(folder.open_file(path))
                except OSError:  # its function removed or changed it since
                    continue
                metrics.STREAMED.labels("out").inc(os.fstat(descriptors[-1]).st_size)
                place = S3Object(bucket=self._bucket, key=prefix + make_name(path))
                # By its descriptor: the name may lead elsewhere by now.
                source = f"/proc/self/fd/{descriptors[-1]}"
                under_way.append((manager.upload(source, place.bucket, place.key), place))
            return [_wait(future, place) for future, place in under_way]
        finally:
            for future, _ in under_way:  # none may read what is closed now
                with suppress(*_ABSENT):
                    future.result()
            for descriptor in descriptors:
                os.close(descriptor)


def _wait(future: Any, place: S3Object) -> S3Object:  # noqa: ANN401 - of s3transfer
    future.result()
    return place


def _refuse(path: str, status: os.stat_result, prefix: str, keys: set[str]) -> str:
    """Why an entry is left out; empty for what counts and for folders that can be entered."""
    if S_ISDIR(status.st_mode):
        return f"deeper than {DEPTH_MAX} folders" if path.count("/") + 1 >= DEPTH_MAX else ""
    if S_ISLNK(status.st_mode):
        return "a symbolic link"
    if not is_plain(status):
        return "a second name of a file" if status.st_nlink > 1 else "not a plain file"
    name = make_name(path)
    if len((prefix + name).encode()) > _KEY_BYTES_MAX:
        return f"its key would have more than {_KEY_BYTES_MAX} bytes"
    return "another file has this name in S3" if name in keys else ""
