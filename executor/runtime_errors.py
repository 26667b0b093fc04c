"""Errors as the Lambda runtime clients write them, in the one form that the executor knows. Pure.

Not here: when an error may be reported (`runtime_api`). The shapes differ by client: Python sends
`stackTrace` as lines, Node.js calls it `trace`, Go sends objects with path, line and label. What is
in none of these shapes still fails the invocation, with as much as can be told of it.
"""

import re
from base64 import b64decode
from typing import NamedTuple

from msgspec import json

from executor.http_requests import Request
from shared.codec import UNREADABLE

TYPE_HEADER = "lambda-runtime-function-error-type"
BODY_TRAILER = "lambda-runtime-function-error-body"
_KNOWN_TYPE = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_MESSAGE_MAX = 4_000
_STACK_MAX = 40


class Reported(NamedTuple):
    """What a client said of a failure; bounded."""

    type: str
    message: str
    stack: tuple[str, ...] = ()


def read_error(request: Request) -> Reported:
    """The failure that the body of an `/error` tells."""
    return _read(request.body, normalise_type(request.headers.get(TYPE_HEADER, "")))


def read_error_trailers(request: Request) -> Reported | None:
    """A failure in the middle of a response, told after it; None where there was none."""
    told = request.trailers.get(TYPE_HEADER, "")
    if not told:
        return None
    try:
        body = b64decode(request.trailers.get(BODY_TRAILER, ""), validate=True)
    except ValueError:
        body = b""
    return _read(body, normalise_type(told))


def normalise_type(told: str) -> str:
    """The type in the header, as Lambda does it."""
    if _KNOWN_TYPE.fullmatch(told):
        return told
    return "Function.Unknown" if told.startswith("Function.") else "Runtime.Unknown"


def _read(body: bytes, header_type: str) -> Reported:
    try:
        told = json.decode(body)
    except UNREADABLE:
        told = None
    if not isinstance(told, dict):
        text = body[: 4 * _MESSAGE_MAX].decode(errors="replace")[:_MESSAGE_MAX]
        return Reported(header_type, text or "The function failed and did not say how.")
    error_type, message = told.get("errorType"), told.get("errorMessage")
    stack = told.get("stackTrace") or told.get("trace") or []
    return Reported(
        error_type if isinstance(error_type, str) and error_type else header_type,
        message[:_MESSAGE_MAX] if isinstance(message, str) else "",
        tuple(map(_format_line, stack[:_STACK_MAX])) if isinstance(stack, list) else (),
    )


def _format_line(line: object) -> str:
    """A line of a stack: Go's are objects, other clients' are texts."""
    if isinstance(line, dict):
        return f"{line.get('path', '?')}:{line.get('line', '?')} {line.get('label', '')}".rstrip()
    return line if isinstance(line, str) else str(line)
