"""The one place that makes AWS clients.

Not here: what is read from or written to them.
"""

from typing import Any

import boto3
from botocore.config import Config

from shared.settings import Settings

# After which a peer counts as gone that neither answers nor hangs up. SQS answers a long poll in
# 3 seconds, and nothing is received meanwhile; S3 may think about a large object for longer.
_SILENCE_SECONDS = {"sqs": 10}


def make_client(settings: Settings, service: str, *, connections: int = 10) -> Any:  # noqa: ANN401
    """A boto3 client of `service`; credentials come the usual way, dummies for the stand-in."""
    config = Config(
        region_name=settings.aws_region,
        connect_timeout=5,
        read_timeout=_SILENCE_SECONDS.get(service, 30),
        max_pool_connections=connections,
        retries={"mode": "standard", "max_attempts": 3},
    )
    dummies = (
        {"aws_access_key_id": "local", "aws_secret_access_key": "local"}  # the stand-in takes any
        if settings.embedded_aws
        else {}
    )
    return boto3.client(service, endpoint_url=settings.aws_endpoint, config=config, **dummies)
