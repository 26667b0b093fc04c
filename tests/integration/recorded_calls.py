"""Calls to AWS as the stand-in recorded them, judged by the policies in `deploy/iam`."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

IAM = Path(__file__).parent.parent.parent / "deploy" / "iam"
NAMES = {
    "REGION:ACCOUNT:QUEUE": "us-east-1:123456789012:hearth-requests",
    "CODE_BUCKET": "hearth-code",
    "INPUT_BUCKET": "inputs",
    "OUTPUT_BUCKET": "hearth-output",
}
_SQS = {
    "ReceiveMessage": "ReceiveMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}


_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Call:
    """What IAM judges: who, which action, on what."""

    user: str
    action: str
    resource: str


def read_calls(recording: Path) -> set[Call]:
    """Every call whose caller said who it is; S3's parts of an upload are PutObject to IAM."""
    text, at, calls = recording.read_text(), 0, set()
    # Threads of the stand-in write at once: an entry is whole, its line end may be late.
    while (at := text.find("{", at)) >= 0:
        entry, at = _decoder.raw_decode(text, at)
        if (call := _read_call(entry)) is not None:
            calls.add(call)
    return calls


def is_allowed(call: Call) -> bool:
    """Whether the user's policy has a statement for the call."""
    file = IAM / f"{call.user}.json"
    if not file.exists():
        return False
    text = file.read_text()
    for name, value in NAMES.items():
        text = text.replace(name, value)
    return any(
        call.action in _as_list(statement["Action"])
        and any(fnmatchcase(call.resource, one) for one in _as_list(statement["Resource"]))
        for statement in json.loads(text)["Statement"]
    )


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _read_call(entry: dict[str, Any]) -> Call | None:
    headers = {name.lower(): value for name, value in entry["headers"].items()}
    user = re.search(r"Credential=([a-z]+)/", headers.get("authorization", ""))
    if user is None:
        return None
    target = headers.get("x-amz-target", "")
    if target.startswith("AmazonSQS."):
        operation = target.removeprefix("AmazonSQS.")
        action = f"sqs:{_SQS.get(operation, operation)}"
        return Call(user[1], action, f"arn:aws:sqs:{NAMES['REGION:ACCOUNT:QUEUE']}")
    return Call(user[1], *_read_s3(entry["method"], urlsplit(entry["url"])))


def _read_s3(method: str, url: Any) -> tuple[str, str]:
    path = unquote(url.path).strip("/")
    uploads = "uploads" in url.query or "uploadId=" in url.query
    match method:
        case "GET" | "HEAD":
            version = "Version" if "versionId=" in url.query else ""
            action = f"GetObject{version}" if "/" in path else "ListBucket"
        case "DELETE" if uploads:
            action = "AbortMultipartUpload"
        case "POST" if uploads:
            action = "PutObject"
        case _:
            action = {"PUT": "PutObject"}.get(method, method)
    return f"s3:{action}", f"arn:aws:s3:::{path}"
