"""The archive: files by name, in a bucket of S3 or in a folder. Safe for several threads.

Not here: what they are called (`stretch`) and what is in them. A file is there as a whole or not at
all, and writing the same again changes nothing. The folder is for the embedded default, whose
stand-in for S3 forgets everything at its end, and for copies of a bucket.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import make_client
from shared.settings import Settings

PREFIX = "archive/"


class ArchiveUnavailableError(Exception):
    """The archive does not answer, or not with what must be there. It may later."""


class Archive(Protocol):
    """Every call raises ArchiveUnavailableError."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file; it lasts when this returns."""
        ...

    def get(self, name: str) -> bytes:
        """A file that is there."""
        ...

    def names(self, prefix: str) -> list[str]:
        """All files whose names begin so, in no order."""
        ...


class FolderArchive:
    """Files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, content: bytes) -> None:
        """See `Archive.put`: synchronised with the disk, since the log is trimmed after it."""
        path = self._folder / name
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            for folder in (path.parent, *path.parent.parents[: name.count("/")]):
                _synchronise(folder)
        except OSError as error:
            raise ArchiveUnavailableError(f"{path}: {error}") from error

    def get(self, name: str) -> bytes:
        """See `Archive.get`."""
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise ArchiveUnavailableError(f"{self._folder / name}: {error}") from error

    def names(self, prefix: str) -> list[str]:
        """See `Archive.names`. `prefix` ends with a slash."""
        return [
            os.fspath(path.relative_to(self._folder))
            for path in (self._folder / prefix).rglob("[!.]*")
            if path.is_file()
        ]


class S3Archive:
    """Objects under `archive/` of a bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:  # noqa: ANN401 - made at run time by boto3
        self._s3 = s3
        self._bucket = bucket

    def put(self, name: str, content: bytes) -> None:
        """See `Archive.put`."""
        self._call(self._s3.put_object, Key=PREFIX + name, Body=content)

    def get(self, name: str) -> bytes:
        """See `Archive.get`."""
        answer = self._call(self._s3.get_object, Key=PREFIX + name)
        try:
            content: bytes = answer["Body"].read()
        except (BotoCoreError, OSError) as error:
            raise ArchiveUnavailableError(f"S3: {error}") from error
        return content

    def names(self, prefix: str) -> list[str]:
        """See `Archive.names`."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            answer = self._call(self._s3.list_objects_v2, Prefix=PREFIX + prefix, **more)
            found += [one["Key"].removeprefix(PREFIX) for one in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return found
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def _call(self, call: Any, **fields: object) -> Any:  # noqa: ANN401
        try:
            return call(Bucket=self._bucket, **fields)
        except (BotoCoreError, ClientError) as error:
            raise ArchiveUnavailableError(f"S3: {error}") from error


def open_archive(settings: Settings) -> Archive:
    """The archive that the settings name. Nothing is called yet."""
    folder = settings.archive_folder
    if folder is not None:
        return FolderArchive(folder)
    return S3Archive(make_client(settings, "s3"), settings.archive_bucket)


def _synchronise(folder: Path) -> None:
    with suppress(OSError):  # not every file system knows it for folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
