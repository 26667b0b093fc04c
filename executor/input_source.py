"""The object that `inputS3` names: opened once, then read in ranges of the same version.

Not here: in which order and how many at a time (`input_stream`).
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from urllib3.exceptions import HTTPError

from shared.events import S3Object

_MISSING = ("NoSuchKey", "NoSuchVersion", "404", "NotFound")
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName")
_FORBIDDEN = ("AccessDenied", "AllAccessDisabled", "403", "Forbidden")
_CHANGED = ("PreconditionFailed", "412", "InvalidRange", "416")
_EMPTY = ("InvalidRange", "416")  # what S3 says of any range of an empty object
_ARCHIVED = ("InvalidObjectState",)

UNREAD = (BotoCoreError, HTTPError, OSError)  # S3 or the way to it broke; worth another try


class InputRejectedError(Exception):
    """The sender must mend `inputS3`; the text says how."""


class InputChangedError(Exception):
    """The object is not any more what was opened; the text says what happened to it."""


class InputUnavailableError(Exception):
    """S3 does not do its part; it may later."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which bytes they are: all ranges must be of the same object."""

    place: S3Object
    size_bytes: int
    etag: str
    version_id: str | None  # in buckets that keep versions


@dataclass(frozen=True, slots=True)
class Opened:
    """An object and the body of its first range; None where the object is empty."""

    version: Version
    body: Any | None


class InputSource:
    """S3, as input streams see it. Safe for several threads."""

    def __init__(self, s3: Any) -> None:  # noqa: ANN401 - boto3 makes its clients at run time
        self._s3 = s3

    def open(self, place: S3Object, first_bytes: int) -> Opened:
        """Ask for the first range; its answer tells what the object is.

        Raises InputRejectedError or InputUnavailableError.
        """
        try:
            answer = self._s3.get_object(
                Bucket=place.bucket, Key=place.key, Range=f"bytes=0-{first_bytes - 1}"
            )
        except ParamValidationError as error:
            raise InputRejectedError(f"{_name(place)} cannot be an object: {error}") from error
        except ClientError as error:
            if error.response["Error"]["Code"] in _EMPTY:
                return Opened(Version(place, 0, "", None), None)
            raise _sort(error, place) from error
        except BotoCoreError as error:
            raise InputUnavailableError(f"S3: {error}") from error
        version = Version(place, _read_size(answer), answer["ETag"], answer.get("VersionId"))
        return Opened(version, answer["Body"])

    def read(self, version: Version, begin: int, end: int) -> Any:  # noqa: ANN401 - of boto3
        """The body of the range from `begin` up to `end`.

        Raises InputChangedError or InputUnavailableError.
        """
        place = version.place
        which = {} if version.version_id is None else {"VersionId": version.version_id}
        try:
            answer = self._s3.get_object(
                Bucket=place.bucket,
                Key=place.key,
                Range=f"bytes={begin}-{end - 1}",
                IfMatch=version.etag,
                **which,
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _CHANGED:
                message = f"{_name(place)} was overwritten while it was read"
                raise InputChangedError(message) from error
            if code in (*_MISSING, *_NO_BUCKET):
                message = f"{_name(place)} was removed while it was read"
                raise InputChangedError(message) from error
            raise InputUnavailableError(f"S3: {error}") from error
        except BotoCoreError as error:
            raise InputUnavailableError(f"S3: {error}") from error
        return answer["Body"]


def close_body(body: Any) -> None:  # noqa: ANN401 - of boto3
    """Let go of a body; what is left of it is thrown away with its connection."""
    with suppress(*UNREAD):
        body.close()


def _read_size(answer: dict[str, Any]) -> int:
    whole = answer.get("ContentRange", "").rpartition("/")[2]
    return int(whole) if whole.isdigit() else int(answer["ContentLength"])


def _sort(error: ClientError, place: S3Object) -> Exception:
    """Whose failure it is."""
    code = error.response["Error"]["Code"]
    if code in _MISSING:
        return InputRejectedError(f"{_name(place)} does not exist: upload it or mend inputS3.key")
    if code in _NO_BUCKET:
        return InputRejectedError(f"the bucket {place.bucket} does not exist: mend inputS3.bucket")
    if code in _FORBIDDEN:
        reason = f"{_name(place)} does not exist, or the executor may not read it ({code})"
        return InputRejectedError(reason)
    if code in _ARCHIVED:
        reason = f"{_name(place)} is in an archive tier: restore it or upload it again"
        return InputRejectedError(reason)
    return InputUnavailableError(f"S3: {error}")


def _name(place: S3Object) -> str:
    return f"s3://{place.bucket}/{place.key}"
