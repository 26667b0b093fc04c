"""The fields of a message to the request that they make, one reader a field. Pure.

Not here: what happens to a message that has none or wrong ones (`message`).
"""

import re
from dataclasses import dataclass

from msgspec import Raw

from ingest.fields import ID_CHARACTERS, ID_RULE, Fields, RefusedError, show
from shared.events import (
    NO_OUTPUT,
    Code,
    InvocationRequested,
    Network,
    Runtime,
    S3Object,
    derive_event_id,
)
from shared.settings import Settings

MEMORY_MB_MIN, MEMORY_MB_MAX, MEMORY_MB_DEFAULT = 128, 10_240, 128
TIMEOUT_MS_MAX, TIMEOUT_MS_DEFAULT = 900_000, 300_000

_HANDLER_DEFAULT = {
    Runtime.PYTHON: "main.handler",
    Runtime.NODEJS: "index.handler",
    Runtime.GO: "bootstrap",
    Runtime.PROVIDED: "bootstrap",
}
_RUNTIMES = (
    (Runtime.PYTHON, re.compile(r"python(\d{1,2}(\.\d{1,2})?)?")),
    (Runtime.NODEJS, re.compile(r"nodejs(\d{1,2}(\.x|\.\d{1,2})?)?")),
    (Runtime.GO, re.compile(r"go(1(\.x|\.\d{1,2})?)?")),
    (Runtime.PROVIDED, re.compile(r"provided(\.al2|\.al2023)?")),
)
_RUNTIME_RULE = (
    "python, nodejs, go or provided, or Lambda's name of one of them "
    "(python3.12, nodejs20.x, go1.x, provided.al2023)"
)
_HANDLER = re.compile(r"[!-~]{1,128}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_BUCKET_RULE = "the name of an S3 bucket, 3 to 63 letters, digits and . _ -"
_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,1024}")
_KEY_RULE = "the key of an S3 object, 1 to 1024 characters without control characters"
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@{}-]{0,255}")
_CHANNEL_RULE = (
    "the name of a pub/sub channel, 1 to 256 letters, digits and . _ : / @ { } - "
    "that begins with a letter or a digit"
)
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a message besides its body."""

    request_id: str
    message_id: str
    accepted_at_ms: int  # Unix time


def read_request(fields: Fields, origin: Origin, settings: Settings) -> InvocationRequested:
    """The request that a message makes; raises RefusedError for the first field that is wrong."""
    fields.text("requestId", ID_CHARACTERS, ID_RULE)
    runtime = _read_runtime(fields)
    return InvocationRequested(
        event_id=derive_event_id(origin.request_id, "InvocationRequested"),
        invocation_id=origin.request_id,
        causation_id=origin.message_id,
        occurred_at_ms=origin.accepted_at_ms,
        function_id=fields.needed_text("functionId", ID_CHARACTERS, ID_RULE),
        runtime=runtime,
        handler=_read_handler(fields, runtime),
        code=_read_code(fields, settings),
        memory_mb=_read_memory(fields),
        timeout_ms=_read_timeout(fields),
        input=_read_input(fields),
        input_s3=_read_input_s3(fields),
        env_vars=_read_env_vars(fields),
        network=_read_network(fields),
        reuse=_read_reuse(fields),
        reply_to=read_reply_to(fields, origin.request_id),
        memory_auto=fields.value("memoryMb") == "auto",
        traceparent=_read_traceparent(fields),
    )


def _read_runtime(fields: Fields) -> Runtime:
    name = fields.value("runtime")
    for runtime, names in _RUNTIMES:
        if isinstance(name, str) and names.fullmatch(name):
            return runtime
    raise fields.refuse("runtime", _RUNTIME_RULE)


def _read_handler(fields: Fields, runtime: Runtime) -> str:
    rule = f"1 to 128 characters without spaces, such as {_HANDLER_DEFAULT[runtime]}"
    return fields.text("handler", _HANDLER, rule) or _HANDLER_DEFAULT[runtime]


def _read_code(fields: Fields, settings: Settings) -> Code:
    key = fields.needed_text("s3Key", _KEY, _KEY_RULE)
    bucket = fields.text("s3Bucket", _BUCKET, _BUCKET_RULE) or settings.code_bucket
    sha256 = fields.text("codeSha256", _SHA256, "the SHA-256 of the archive, 64 hexadecimal digits")
    return Code(bucket=bucket, key=key, sha256=sha256.lower() if sha256 else None)


def _read_memory(fields: Fields) -> int:
    size = fields.value("memoryMb")
    # "auto": the receiver asks for the limit that the tuner has set, once there is one.
    if size is None or size == "auto":
        return MEMORY_MB_DEFAULT
    span = f'{MEMORY_MB_MIN} to {MEMORY_MB_MAX} or "auto"'
    return _whole(fields, "memoryMb", size, (MEMORY_MB_MIN, MEMORY_MB_MAX), span)


def _read_timeout(fields: Fields) -> int:
    timeout = fields.value("timeoutMs")
    if timeout is None:
        return TIMEOUT_MS_DEFAULT
    span = f"1 to {TIMEOUT_MS_MAX}"
    return _whole(fields, "timeoutMs", timeout, (1, TIMEOUT_MS_MAX), span)


def _whole(fields: Fields, name: str, value: object, bounds: tuple[int, int], span: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise fields.refuse(name, f"a whole number, {span}")
    if not bounds[0] <= value <= bounds[1]:
        raise fields.refuse(name, span)
    return value


def _read_input(fields: Fields) -> Raw:
    raw = fields.raw("input")
    return NO_OUTPUT if raw is None else Raw(raw)


def _read_input_s3(fields: Fields) -> S3Object | None:
    place = fields.value("inputS3")
    if place is None:
        return None
    rule = 'an object {"bucket": ..., "key": ...} of two strings'
    if not isinstance(place, dict):
        raise fields.refuse("inputS3", rule)
    bucket, key = place.get("bucket"), place.get("key")
    if not isinstance(bucket, str) or not isinstance(key, str):
        raise fields.refuse("inputS3", rule)
    if not _BUCKET.fullmatch(bucket):
        raise RefusedError("inputS3", f"inputS3.bucket must be {_BUCKET_RULE}")
    if not _KEY.fullmatch(key):
        raise RefusedError("inputS3", f"inputS3.key must be {_KEY_RULE}")
    return S3Object(bucket=bucket, key=key)


def _read_env_vars(fields: Fields) -> dict[str, str]:
    """What is wrong is told without the values: they may be secrets, and reasons are logged."""
    given = fields.value("envVars")
    if given is None:
        return {}
    if not isinstance(given, dict):
        reason = f"envVars is {_name_kind(given)}; it must be an object of strings"
        raise RefusedError("envVars", reason)
    for name, value in given.items():
        shown = show(name.partition("=")[0].encode())
        if not _ENV_NAME.fullmatch(name):
            rule = "letters, digits and _, and begin with no digit"
            raise RefusedError("envVars", f"envVars names {shown!r}; names must be {rule}")
        if not isinstance(value, str):
            kind = _name_kind(value)
            reason = f"envVars.{shown} is {kind}; it must be a string: put it in quotes"
            raise RefusedError("envVars", reason)
        if "\0" in value:
            raise RefusedError("envVars", f"envVars.{shown} holds a NUL; it must be a string")
    return given


def _name_kind(value: object) -> str:
    """What a JSON value is, without its content."""
    kinds = {bool: "true or false", list: "an array", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a string" if isinstance(value, str) else "a number")


def _read_network(fields: Fields) -> Network:
    network = fields.value("network")
    if network is None:
        return Network.EGRESS
    if network not in ("none", "egress"):
        raise fields.refuse("network", '"none" or "egress"')
    return Network(network)


def _read_reuse(fields: Fields) -> bool:
    reuse = fields.value("reuse")
    if reuse is None:
        return True
    if not isinstance(reuse, bool):
        raise fields.refuse("reuse", "true or false; false runs in a sandbox of its own, once")
    return reuse


def _read_traceparent(fields: Fields) -> str | None:
    """The sender's span. What is none is passed over, as W3C asks: tracing must break nothing."""
    given = fields.value("traceparent")
    return given if isinstance(given, str) and _TRACEPARENT.fullmatch(given) else None


def read_reply_to(fields: Fields, request_id: str) -> str | None:
    """The channel that hears of the result besides `result:<requestId>`, or None."""
    channel = fields.text("replyTo", _CHANNEL, _CHANNEL_RULE)
    if channel is None or not channel.startswith("result:"):
        return channel
    if channel == f"result:{request_id}":
        return None  # published there anyway
    # Who waits on result:<id> must be able to believe that it is the result of <id>.
    raise RefusedError("replyTo", "replyTo names the result channel of another request")
