"""What `hearth doctor` says of the queue and the buckets.

Not here: making them; `local` does for its stand-in, people do in AWS.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.check import Check, fail, ok, warn
from shared.aws import make_client
from shared.settings import Settings

_RECEIVES_MIN = 3


def check_aws(settings: Settings) -> Iterator[Check]:
    """The queue, then both buckets: each is written to and left as it was."""
    yield from check_queue(settings)
    for name, bucket in (("S3_CODE_BUCKET", settings.code_bucket),
                         ("S3_OUTPUT_BUCKET", settings.output_bucket)):  # fmt: skip
        yield check_bucket(settings, name, bucket)


def check_queue(settings: Settings) -> Iterator[Check]:
    """Reachable, what waits in it, its time-out and where it puts what fails."""
    try:
        answer = make_client(settings, "sqs").get_queue_attributes(
            QueueUrl=settings.queue_url, AttributeNames=["All"]
        )
    except (BotoCoreError, ClientError) as error:
        yield fail("queue", describe(error), _advise(settings, "SQS_QUEUE_URL"))
        return
    attributes = answer.get("Attributes", {})
    waiting = attributes.get("ApproximateNumberOfMessages", "?")
    taken = attributes.get("ApproximateNumberOfMessagesNotVisible", "?")
    yield ok("queue", f"{settings.queue_url}, {waiting} waiting, {taken} taken")
    yield judge_visibility(attributes, settings)
    yield judge_redrive(attributes)


def judge_visibility(attributes: dict[str, Any], settings: Settings) -> Check:
    """Ingest asks for its own time-out at each receive; the queue's own matters for others."""
    own_s = int(attributes.get("VisibilityTimeout", 0))
    said = f"{settings.visibility_timeout_s} s (VISIBILITY_TIMEOUT_S), the queue's own {own_s} s"
    return ok("visibility time-out", f"{said}; extended while a call runs")


def judge_redrive(attributes: dict[str, Any]) -> Check:
    """Where the queue puts messages that were received too often."""
    policy = attributes.get("RedrivePolicy")
    if not policy:
        return ok("redrive", "no policy; what cannot be taken is in `hearth dead list`")
    receives = int(json.loads(policy).get("maxReceiveCount", 0))
    said = f"after {receives} receives"
    if receives < _RECEIVES_MIN:
        mend = f"set maxReceiveCount to {_RECEIVES_MIN} or more: a restart of ingest counts as one"
        return warn("redrive", said, mend)
    return ok("redrive", said)


def check_bucket(settings: Settings, name: str, bucket: str) -> Check:
    """Put an object, read it, remove it."""
    s3 = make_client(settings, "s3")
    place = {"Bucket": bucket, "Key": f"hearth-doctor/{secrets.token_hex(8)}"}
    try:
        s3.put_object(**place, Body=b"hearth doctor")
        s3.get_object(**place)["Body"].read()
        s3.delete_object(**place)
    except (BotoCoreError, ClientError) as error:
        return fail(f"bucket {bucket}", describe(error), _advise(settings, name))
    return ok(f"bucket {bucket}", "can be written and read")


def describe(error: Exception) -> str:
    """The service's own words."""
    return str(error).rstrip(".")


def _advise(settings: Settings, name: str) -> str:
    if settings.embedded_aws:
        return "start the stack (`honcho start`), or name a queue and buckets in .env"
    return f"check {name}, AWS_REGION, AWS_ENDPOINT_URL, and the rights of your credentials"
