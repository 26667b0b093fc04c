"""Function archives in S3: download one, or learn that it did not change.

Not here: what is kept on disk (`code_store`, `code_cache`).
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from executor.archive import ARCHIVE_BYTES_MAX
from shared.events import Code

_CHUNK_BYTES = 1 << 20
_UNCHANGED = ("304", "NotModified")
_MISSING = ("NoSuchKey", "404", "NotFound")
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName")
# Without the right to list a bucket, S3 says so of a missing object too.
_FORBIDDEN = ("AccessDenied", "AllAccessDisabled", "403", "Forbidden")


class CodeRejectedError(Exception):
    """The sender must mend something: `field` of the message, for `reason`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


class CodeUnavailableError(Exception):
    """S3 or the disk does not do its part; it may later."""


@dataclass(frozen=True, slots=True)
class Download:
    """An archive on disk and which version it is."""

    sha256: str  # hex
    etag: str


class CodeSource:
    """S3, as the code store sees it."""

    def __init__(self, s3: Any) -> None:  # noqa: ANN401 - boto3 makes its clients at run time
        self._s3 = s3

    def download(self, code: Code, target: Path, etag: str | None) -> Download | None:
        """Write the archive to `target`; None where it still has `etag`.

        Raises CodeRejectedError or CodeUnavailableError.
        """
        condition = {} if etag is None else {"IfNoneMatch": etag}
        try:
            answer = self._s3.get_object(Bucket=code.bucket, Key=code.key, **condition)
            with closing(answer["Body"]) as body:
                _check_length(code, answer["ContentLength"])
                sha256 = _write(body.iter_chunks(_CHUNK_BYTES), target)
        except ParamValidationError as error:
            raise CodeRejectedError("s3Bucket", f"s3Bucket cannot be a bucket: {error}") from error
        except ClientError as error:
            if error.response["Error"]["Code"] in _UNCHANGED:
                return None
            raise _sort(error, code) from error
        except BotoCoreError as error:
            raise CodeUnavailableError(f"S3: {error}") from error
        return Download(sha256, answer["ETag"])


def _check_length(code: Code, length_bytes: int) -> None:
    if length_bytes > ARCHIVE_BYTES_MAX:
        reason = (
            f"{_name(code)} has {length_bytes} bytes; an archive may have {ARCHIVE_BYTES_MAX}: "
            "leave out what the function does not need"
        )
        raise CodeRejectedError("s3Key", reason)


def _write(chunks: Iterator[bytes], target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _sort(error: ClientError, code: Code) -> Exception:
    """Whose failure it is."""
    name = error.response["Error"]["Code"]
    if name in _MISSING:
        reason = f"{_name(code)} does not exist: upload the archive or mend s3Key"
        return CodeRejectedError("s3Key", reason)
    if name in _NO_BUCKET:
        reason = f"the bucket {code.bucket} does not exist: mend s3Bucket"
        return CodeRejectedError("s3Bucket", reason)
    if name in _FORBIDDEN:
        reason = f"{_name(code)} does not exist, or the executor may not read it ({name})"
        return CodeRejectedError("s3Key", reason)
    if name == "InvalidObjectState":
        reason = f"{_name(code)} is in an archive tier: restore it or upload it again"
        return CodeRejectedError("s3Key", reason)
    return CodeUnavailableError(f"S3: {error}")


def _name(code: Code) -> str:
    return f"s3://{code.bucket}/{code.key}"
