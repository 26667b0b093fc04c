"""The AWS Lambda Runtime API (2018-06-01) as a state machine: requests in, replies and frames out.

Not here: HTTP's bytes (`http_requests`), sockets (`runtime_api_channel`), how clients write errors
(`runtime_errors`). Pure: no socket, no clock.

To the executor a process that speaks this API looks like a bootstrap that speaks frames: its first
`/next` is READY, its `/response` or `/error` is ANSWER, and every later `/next` is READY again,
since only then is it done with the call before. States and error bodies are those of Lambda's own
emulator, which clients are tested against.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec import json

from executor.frames import ANSWER, BODY_BYTES_MAX, READY, Frame, Head
from executor.http_requests import Request
from executor.runtime_errors import Reported, read_error, read_error_trailers
from shared.codec import UNREADABLE

VERSION = "/2018-06-01"
_RUNTIME = f"{VERSION}/runtime/"
_INVOCATION = f"{_RUNTIME}invocation/"
_NEXT = f"{_INVOCATION}next"
_INIT_ERROR = f"{_RUNTIME}init/error"
_ERROR_BYTES_MAX = 1 << 20
_OK = b'{"status":"OK"}\n'
_TOO_LARGE = f"Exceeded maximum allowed payload size ({BODY_BYTES_MAX} bytes)."
_STATUS_TEXT = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
}
# What this API shares its address with on Lambda; clients that find it missing go on without it.
_SUBSCRIPTIONS = {
    "/2020-08-15/logs": "Logs",
    "/2022-07-01/telemetry": "Telemetry",
}
_EXTENSIONS = "/2020-01-01/extension/"


class State(StrEnum):
    """Where the process stands, in the words that error messages use."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"  # it asked for a call
    RUNNING = "Running"  # it was given one
    ANSWERED = "ResponseSent"  # and answered; it may still be busy with it


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"


class RuntimeApi:
    """The API of one sandbox."""

    def __init__(self) -> None:
        self.state = State.STARTED
        self.frames: list[Frame] = []  # what the executor has not been told yet
        self._call_id = ""
        self._call = b""

    def decide_body_max(self, method: str, target: str) -> int:
        """How many bytes of a body are wanted; the rest is dropped."""
        is_awaited = self.state in (State.STARTED, State.RUNNING)
        if not is_awaited or method != "POST" or not target.startswith(_RUNTIME):
            return 0
        return BODY_BYTES_MAX if target.endswith("/response") else _ERROR_BYTES_MAX

    def begin(self, call_id: str, call: bytes) -> None:
        """There is a call: `call` is the response to `/next`, given to whoever asks."""
        assert self.state is State.READY, "a call for a process that did not ask"
        self._call_id, self._call = call_id, call

    def take_call(self) -> bytes | None:
        """The call for a client that waits in `/next`; None while there is none."""
        if not self._call:
            return None
        self.state = State.RUNNING
        return self._call

    def handle(self, request: Request) -> Reply | None:
        """The reply to a request; None for a `/next` that has to wait for `take_call`."""
        path = request.target.partition("?")[0]
        if path == _NEXT:
            return self._next() if request.method == "GET" else _refuse_method(request.method)
        if path == _INIT_ERROR:
            return self._init_error(request) if request.method == "POST" else _refuse_method("GET")
        if path.startswith(_INVOCATION) and request.method == "POST":
            call_id, _, verb = path.removeprefix(_INVOCATION).partition("/")
            if verb == "response":
                return self._response(call_id, request)
            if verb == "error":
                return self._error(call_id, request)
        return self._other(path, request.method)

    # -- the four calls ----------------------------------------------------------------------------

    def _next(self) -> Reply | None:
        if self.state is State.INIT_ERROR:
            return self._refuse_state(State.READY)
        if self.state in (State.STARTED, State.ANSWERED):
            self.state = State.READY
            self.frames.append(Frame(READY, {}))
        return None

    def _init_error(self, request: Request) -> Reply:
        if self.state is not State.STARTED:
            return self._refuse_state(State.INIT_ERROR)
        self.state = State.INIT_ERROR
        self.frames.append(Frame(READY, _failed({}, read_error(request))))
        return Reply(202, _OK)

    def _response(self, call_id: str, request: Request) -> Reply:
        refused = self._refuse_answer(call_id, "InvocationResponse")
        if refused is not None:
            return refused
        mode = request.headers.get("lambda-runtime-function-response-mode", "streaming")
        if mode.lower() != "streaming":
            message = f"Invalid response mode header: {mode[:100]!r}; it may be streaming"
            return _refuse(400, "InvalidFunctionResponseMode", message)
        if request.is_too_large:
            self._answer(Reported("Function.ResponseSizeTooLarge", _TOO_LARGE))
            return _refuse(413, "RequestEntityTooLarge", _TOO_LARGE)
        failure = read_error_trailers(request)
        self._answer(failure, b"" if failure else read_output(request))
        return Reply(202, _OK)

    def _error(self, call_id: str, request: Request) -> Reply:
        refused = self._refuse_answer(call_id, "InvocationErrorResponse")
        if refused is not None:
            return refused
        self._answer(read_error(request))
        return Reply(202, _OK)

    def _answer(self, failure: Reported | None, output: bytes = b"") -> None:
        head: Head = {"id": self._call_id}
        self.frames.append(Frame(ANSWER, _failed(head, failure) if failure else head, output))
        self.state = State.ANSWERED
        self._call = b""

    # -- what is refused ---------------------------------------------------------------------------

    def _refuse_answer(self, call_id: str, wanted: str) -> Reply | None:
        """Why this answer is none to the call under way; None if it is."""
        if call_id != self._call_id or not call_id:
            return _refuse(400, "InvalidRequestID", "Invalid request ID")
        if self.state is not State.RUNNING:
            return self._refuse_state(wanted)
        return None

    def _refuse_state(self, wanted: str) -> Reply:
        message = (
            f"State transition from {self.state} to {wanted} failed for runtime. "
            "Error: State transition is not allowed"
        )
        return _refuse(403, "InvalidStateTransition", message)

    def _other(self, path: str, method: str) -> Reply:
        if path == f"{VERSION}/ping":
            return Reply(200, b"pong", "text/plain")
        if path in _SUBSCRIPTIONS:
            name = _SUBSCRIPTIONS[path]
            return _refuse(202, f"{name}.NotSupported", f"{name} API is not supported")
        if path.startswith(_EXTENSIONS):
            message = "Extensions are not supported here; the function runs without them"
            return _refuse(403, "Extension.NotSupported", message)
        if path.startswith(f"{_RUNTIME}restore/"):
            return self._refuse_state("Restoring")
        if path.startswith(_INVOCATION) and path.endswith(("/response", "/error")):
            return _refuse_method(method)
        return _refuse(404, "NotFound", f"There is no {path[:200]} in the Runtime API")


def read_output(request: Request) -> bytes:
    """The output as JSON: of what is none and does not claim to be, its text as a string.

    A body that is neither stays as it is; whoever reads the frame finds that it is no JSON.
    """
    body = request.body.strip(b" \t\r\n")
    if not body:
        return b"null"
    if "json" in request.headers.get("content-type", "") or _is_json(body):
        return body
    try:
        return json.encode(request.body.decode())
    except UnicodeDecodeError:
        return body


def encode_reply(reply: Reply, *, keeps_alive: bool = True) -> bytes:
    """The bytes of a response."""
    close = "" if keeps_alive else "Connection: close\r\n"
    head = (
        f"HTTP/1.1 {reply.status} {_STATUS_TEXT[reply.status]}\r\n"
        f"Content-Type: {reply.content_type}\r\n{close}"
        f"Content-Length: {len(reply.body)}\r\n\r\n"
    )
    return head.encode() + reply.body


def encode_call(head: Head, event: bytes, function_arn: str) -> bytes:
    """The bytes of the response to `/next`.

    The content type is exact: the Python client hands anything else to the handler as raw bytes.
    """
    lines = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {head['id']}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {head['deadline_ms']}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {function_arn}\r\n"
        f"Hearth-Attempt: {head['attempt']}\r\n"
        f"Content-Length: {len(event)}\r\n\r\n"
    )
    return lines.encode() + event


def _is_json(body: bytes) -> bool:
    try:
        json.decode(body)
    except UNREADABLE:
        return False
    return True


def _failed(head: Head, failure: Reported) -> Head:
    return {**head, "failure": failure._asdict()}


def _refuse(status: int, error_type: str, message: str) -> Reply:
    return Reply(status, json.encode({"errorMessage": message, "errorType": error_type}))


def _refuse_method(method: str) -> Reply:
    return _refuse(405, "MethodNotAllowed", f"{method} is not for this path")
