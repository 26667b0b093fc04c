"""The bucket of results, as the publisher sees it: write one document.

Not here: when and how often it is tried.
"""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


class BucketUnavailableError(Exception):
    """S3 did not take the document. It may later."""


class ResultsBucket:
    """Writes documents. Safe for several threads."""

    def __init__(self, s3: Any, bucket: str) -> None:  # noqa: ANN401 - made at run time by boto3
        self._s3 = s3
        self.name = bucket

    def write(self, key: str, document: bytes) -> None:
        """Put one document; writing it again changes nothing. Raises BucketUnavailableError."""
        try:
            self._s3.put_object(
                Bucket=self.name, Key=key, Body=document, ContentType="application/json"
            )
        except (BotoCoreError, ClientError) as error:
            raise BucketUnavailableError(f"S3: {error}") from error
