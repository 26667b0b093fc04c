"""Counts and times every call of an AWS client, by operation and outcome.

Not here: the client (`aws`). `count_calls` is called where a process is put together, since metrics
may only be imported after the settings were read.
"""

import time
from collections.abc import Mapping
from typing import Any

from shared.metrics import aws_call_duration

_CALL = "hearth_call"  # in botocore's context of one call
_THROTTLED = (
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "TooManyRequests",
)


def decide_outcome(status: int, code: str) -> str:
    """How a call ended, by HTTP status and AWS's own code. An unchanged object (304) is ok."""
    if status < 400:
        return "ok"
    if status == 429 or code in _THROTTLED:
        return "throttled"
    return "refused" if status < 500 else "failed"


def count_calls(client: Any, stage: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """The same client; what it calls from now on is in the metrics."""
    service = client.meta.service_model.service_name

    def began(model: Any, context: dict[str, Any], **_: object) -> None:  # noqa: ANN401 - boto3's
        context[_CALL] = (model.name, time.perf_counter())

    def ended(context: Mapping[str, Any], outcome: str) -> None:
        if _CALL in context:
            operation, began_s = context[_CALL]
            seconds = time.perf_counter() - began_s
            aws_call_duration(stage, service, operation, outcome).observe(seconds)

    def answered(parsed: Mapping[str, Any], context: Mapping[str, Any], **_: object) -> None:
        status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        ended(context, decide_outcome(status, str(parsed.get("Error", {}).get("Code", ""))))

    def unanswered(context: Mapping[str, Any], **_: object) -> None:
        ended(context, "unanswered")

    client.meta.events.register("before-call", began)
    client.meta.events.register("after-call", answered)
    client.meta.events.register("after-call-error", unanswered)
    return client
