"""What was deployed: the archive in S3, and beside it a small record that `hearth invoke` reads.

    s3://S3_CODE_BUCKET/functions/<function>/<sha256>.zip     the archive; never overwritten
    s3://S3_CODE_BUCKET/functions/<function>.json             the record: the newest deployment

Not here: packing (`package`). Only the command line reads the record: a message names its archive
itself, so that whoever sends needs nothing of this.
"""

import hashlib
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from cli.failure import Failure
from shared.codec import UNREADABLE
from shared.events import Runtime

_MISSING = ("404", "NoSuchKey", "NotFound")


class Deployment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The record of a function: what its messages say, but for the input."""

    function_id: str
    runtime: Runtime
    handler: str
    s3_bucket: str
    s3_key: str
    code_sha256: str
    memory_mb: int | str  # or "auto"
    timeout_ms: int
    deployed_at_ms: int = 0


def make_message(deployment: Deployment, **fields: object) -> dict[str, Any]:
    """The SQS message that calls the function; `fields` replace or add."""
    message = msgspec.to_builtins(deployment)
    del message["deployedAtMs"]
    return {**message, **fields}


def archive_key(function_id: str, sha256: str) -> str:
    """Where an archive lies."""
    return f"functions/{function_id}/{sha256}.zip"


def record_key(function_id: str) -> str:
    """Where a function's record lies."""
    return f"functions/{function_id}.json"


def find_sha256(archive: bytes) -> str:
    """The hash of an archive, as messages name it."""
    return hashlib.sha256(archive).hexdigest()


class Deployments:
    """The bucket of archives, as the command line sees it. Raises botocore's errors."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def upload(self, key: str, archive: bytes) -> bool:
        """Put an archive unless it is there; whether it was put."""
        try:
            self._s3.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
        else:
            return False
        self._s3.put_object(
            Bucket=self.bucket, Key=key, Body=archive, ContentType="application/zip"
        )
        return True

    def write(self, deployment: Deployment) -> None:
        """Make this the newest deployment of its function."""
        self._s3.put_object(
            Bucket=self.bucket,
            Key=record_key(deployment.function_id),
            Body=msgspec.json.format(msgspec.json.encode(deployment), indent=1),
            ContentType="application/json",
        )

    def read(self, function_id: str) -> Deployment:
        """The newest deployment of a function. Raises Failure where there is none."""
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=record_key(function_id))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _MISSING:
                raise
            raise Failure(self._describe_absence(function_id)) from error
        try:
            return msgspec.json.decode(answer["Body"].read(), type=Deployment)
        except UNREADABLE as error:
            place = f"s3://{self.bucket}/{record_key(function_id)}"
            message = f"{place} is no record of a deployment ({error}): deploy {function_id} again."
            raise Failure(message) from error

    def list_functions(self) -> list[str]:
        """The names of all that were deployed."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix="functions/", Delimiter="/"
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        names = [key.removeprefix("functions/") for key in keys if key.endswith(".json")]
        return sorted(name.removesuffix(".json") for name in names)

    def _describe_absence(self, function_id: str) -> str:
        known = self.list_functions()
        deployed = f"Deployed are: {', '.join(known[:10])}. " if known else ""
        return (
            f"No function {function_id} was deployed to {self.bucket}. {deployed}"
            "`hearth deploy FOLDER` deploys one."
        )
