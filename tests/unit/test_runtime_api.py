"""The Runtime API's state machine, its requests and its errors; nothing here has a socket."""

from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from executor.frames import ANSWER, BODY_BYTES_MAX, READY, Frame
from executor.http_requests import HEADERS_BYTES_MAX, HEADERS_MAX, HttpError, Request, RequestReader
from executor.runtime_api import Reply, RuntimeApi, State, encode_call, encode_reply
from executor.runtime_errors import normalise_type

RUNTIME = "/2018-06-01/runtime/"
NEXT = Request("GET", f"{RUNTIME}invocation/next")
OK = Reply(202, b'{"status":"OK"}\n')


def post(verb: str, body: bytes = b"1", **more: Any) -> Request:
    return Request("POST", f"{RUNTIME}{verb}", body=body, **more)


def running(call_id: str = "r") -> RuntimeApi:
    """A process that was given a call."""
    api = RuntimeApi()
    assert api.handle(NEXT) is None
    api.begin(call_id, b"call")
    assert b"call" == api.take_call()
    api.frames.clear()
    return api


def refusal(reply: Reply | None) -> tuple[int, str]:
    assert reply is not None
    return reply.status, json.decode(reply.body)["errorType"]


def failure_of(api: RuntimeApi) -> object:
    (frame,) = api.frames
    return frame.head["failure"]


def test_one_call_after_the_other() -> None:
    """/next is READY, /response is ANSWER, and the next /next is READY again."""
    api = RuntimeApi()
    assert (None, State.READY) == (api.handle(NEXT), api.state)
    for number in ("1", "2"):
        assert api.take_call() is None
        api.begin(number, b"call")
        assert (b"call", State.RUNNING) == (api.take_call(), api.state)
        assert OK == api.handle(post(f"invocation/{number}/response", b'{"a": 1}'))
        assert (None, State.READY) == (api.handle(NEXT), api.state)

    ready = Frame(READY, {})
    answers = [Frame(ANSWER, {"id": number}, b'{"a": 1}') for number in ("1", "2")]
    assert [ready, answers[0], ready, answers[1], ready] == api.frames


def test_next_while_running() -> None:
    """The same event again, and no second READY."""
    api = running()

    assert (None, b"call") == (api.handle(NEXT), api.take_call())
    assert [] == api.frames


def test_a_call_waits_for_next() -> None:
    """A client that hung up in /next is given the call when it asks again."""
    api = RuntimeApi()
    api.handle(NEXT)
    api.begin("r", b"call")

    assert (None, b"call") == (api.handle(NEXT), api.take_call())


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("invocation/other/response", (400, "InvalidRequestID")),
        ("invocation/other/error", (400, "InvalidRequestID")),
        ("invocation//response", (400, "InvalidRequestID")),
        ("init/error", (403, "InvalidStateTransition")),
        ("invocation/r/elsewhere", (404, "NotFound")),
        ("restore/error", (403, "InvalidStateTransition")),
    ],
)
def test_refused_while_running(verb: str, expected: tuple[int, str]) -> None:
    """The status and type of the error body; the call goes on."""
    api = running()

    assert expected == refusal(api.handle(post(verb)))
    assert (State.RUNNING, []) == (api.state, api.frames)


def test_answers_out_of_turn() -> None:
    """Before the first call, twice for one call, after the next /next."""
    api = RuntimeApi()
    assert (400, "InvalidRequestID") == refusal(api.handle(post("invocation/r/response")))
    api = running()
    api.handle(post("invocation/r/response"))
    again = api.handle(post("invocation/r/response"))
    assert (403, "InvalidStateTransition") == refusal(again)
    assert again is not None
    expected = (
        "State transition from ResponseSent to InvocationResponse failed for runtime. "
        "Error: State transition is not allowed"
    )
    assert expected == json.decode(again.body)["errorMessage"]
    assert 1 == len(api.frames)


def test_too_large_an_answer() -> None:
    """413 in Lambda's words; the call failed."""
    api = running()
    reply = api.handle(post("invocation/r/response", b"", is_too_large=True))

    assert reply is not None
    text = "Exceeded maximum allowed payload size (6291556 bytes)."
    body = {"errorMessage": text, "errorType": "RequestEntityTooLarge"}
    assert (413, body) == (reply.status, json.decode(reply.body))
    expected = {"type": "Function.ResponseSizeTooLarge", "message": text, "stack": ()}
    assert (expected, State.ANSWERED) == (failure_of(api), api.state)


def test_response_mode() -> None:
    """Streaming is taken, anything else is not."""
    header = "lambda-runtime-function-response-mode"
    api = running()

    refused = api.handle(post("invocation/r/response", headers={header: "buffet"}))
    taken = api.handle(post("invocation/r/response", headers={header: "streaming"}))

    assert (400, "InvalidFunctionResponseMode") == refusal(refused)
    assert OK == taken


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": 1}', "application/json", b'{"a": 1}'),
        (b'{"a": 1}', "", b'{"a": 1}'),
        (b" 1\n", "application/octet-stream", b"1"),
        (b"", "application/json", b"null"),
        (b"just text", "application/x-www-form-urlencoded", b'"just text"'),
        ("안녕".encode(), "text/plain", '"안녕"'.encode()),
        (b"not json", "application/json", b"not json"),
        (b"\xff\xfe", "application/octet-stream", b"\xff\xfe"),
    ],
)
def test_outputs(body: bytes, content_type: str, expected: bytes) -> None:
    """JSON stays as it is; text that does not claim to be JSON becomes a string."""
    api = running()
    headers = {"content-type": content_type} if content_type else {}
    api.handle(post("invocation/r/response", body, headers=headers))

    assert expected == api.frames[0].body


PYTHON_ERROR = b'{"errorType": "KeyError", "errorMessage": "\'x\'", "stackTrace": ["a\\n", "b\\n"]}'
NODEJS_ERROR = b'{"errorType": "TypeError", "errorMessage": "no", "trace": ["TypeError: no"]}'
GO_ERROR = (
    b'{"errorType": "E", "errorMessage": "m", "stackTrace": [{"path":"a","line":1,"label":"f"}]}'
)


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (PYTHON_ERROR, "Unhandled", ("KeyError", "'x'", ("a\n", "b\n"))),
        (NODEJS_ERROR, "TypeError", ("TypeError", "no", ("TypeError: no",))),
        (GO_ERROR, "E", ("E", "m", ("a:1 f",))),
        (b"{}", "Runtime.ExitError", ("Runtime.ExitError", "", ())),
        (b'{"errorType": 7, "errorMessage": [], "stackTrace": 1}', "", ("Runtime.Unknown", "", ())),
        (b"plain", "Function.odd!", ("Function.Unknown", "plain", ())),
        (b"", "x", ("Runtime.Unknown", "The function failed and did not say how.", ())),
        (b"[" * 100_000, "x", ("Runtime.Unknown", "[" * 4_000, ())),
    ],
    ids=["python", "nodejs", "go", "empty", "odd", "text", "nothing", "deep"],
)
def test_errors(body: bytes, header: str, expected: tuple[object, ...]) -> None:
    """In each client's shape, and in none."""
    api = running()
    headers = {"lambda-runtime-function-error-type": header}

    assert OK == api.handle(post("invocation/r/error", body, headers=headers))
    assert dict(zip(("type", "message", "stack"), expected, strict=True)) == failure_of(api)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Runtime.ExitError", "Runtime.ExitError"),
        ("Function.MyOwn", "Function.MyOwn"),
        ("Function.my", "Function.Unknown"),
        ("runtime.X", "Runtime.Unknown"),
        ("", "Runtime.Unknown"),
    ],
)
def test_types_in_headers(told: str, expected: str) -> None:
    """Lambda's rule."""
    assert expected == normalise_type(told)


@pytest.mark.parametrize(
    ("trailer", "message"),
    [
        (b64encode(b'{"errorType": "E", "errorMessage": "half"}').decode(), "half"),
        ("no base64!", "The function failed and did not say how."),
    ],
)
def test_errors_in_trailers(trailer: str, message: str) -> None:
    """A stream that broke off is a failure; what came of it is dropped."""
    api = running()
    trailers = {
        "lambda-runtime-function-error-type": "Function.E",
        "lambda-runtime-function-error-body": trailer,
    }

    assert OK == api.handle(post("invocation/r/response", b"{half", trailers=trailers))
    (frame,) = api.frames
    assert isinstance(frame.head["failure"], dict)
    assert (message, b"") == (frame.head["failure"]["message"], frame.body)


def test_init_error() -> None:
    """Once, before the first /next; nothing goes on after it."""
    api = RuntimeApi()
    assert OK == api.handle(post("init/error", PYTHON_ERROR))
    expected = {"type": "KeyError", "message": "'x'", "stack": ("a\n", "b\n")}
    assert ([Frame(READY, {"failure": expected})], State.INIT_ERROR) == (api.frames, api.state)
    for request in (post("init/error"), NEXT):
        assert (403, "InvalidStateTransition") == refusal(api.handle(request))


@pytest.mark.parametrize(
    ("method", "target", "status", "error_type"),
    [
        ("PUT", "/2020-08-15/logs", 202, "Logs.NotSupported"),
        ("PUT", "/2022-07-01/telemetry", 202, "Telemetry.NotSupported"),
        ("POST", "/2020-01-01/extension/register", 403, "Extension.NotSupported"),
        ("POST", f"{RUNTIME}invocation/next", 405, "MethodNotAllowed"),
        ("GET", f"{RUNTIME}invocation/r/response", 405, "MethodNotAllowed"),
        ("GET", f"{RUNTIME}init/error", 405, "MethodNotAllowed"),
        ("GET", "/", 404, "NotFound"),
    ],
)
def test_what_is_beside_it(method: str, target: str, status: int, error_type: str) -> None:
    """Clients that look for more than the Runtime API get an answer that they go on after."""
    assert (status, error_type) == refusal(running().handle(Request(method, target)))


def test_ping() -> None:
    """Old clients ask for it."""
    assert Reply(200, b"pong", "text/plain") == RuntimeApi().handle(
        Request("GET", "/2018-06-01/ping")
    )


def test_bytes_of_replies() -> None:
    """Exact content types and lengths: clients are particular."""
    head = {"id": "r-1", "deadline_ms": 1_700_000_000_000, "attempt": 2}
    expected = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: r-1\r\nLambda-Runtime-Deadline-Ms: 1700000000000\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: arn\r\nHearth-Attempt: 2\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert expected == encode_call(head, b"{}", "arn")
    expected = (
        b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b'Content-Length: 16\r\n\r\n{"status":"OK"}\n'
    )
    assert expected == encode_reply(OK, keeps_alive=False)


# -- requests out of bytes -------------------------------------------------------------------------

CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: B, C\r\n\r\n"
    b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nB: one\r\nC: two\r\n\r\n"
)
PLAIN = b"PUT /b?c=d HTTP/1.0\r\nContent-Length: 4\r\n\r\nwxyz"


def read(pieces: list[bytes], body_max: int = 100) -> list[Request]:
    reader = RequestReader(lambda _method, _target: body_max)
    return [request for piece in pieces for request in reader.feed(piece)]


@given(st.lists(st.integers(0, len(CHUNKED + PLAIN)), max_size=30))
def test_requests_in_any_pieces(cuts: list[int]) -> None:
    """However the bytes are cut, the requests are the same."""
    whole = CHUNKED + CHUNKED + PLAIN
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges)]

    found = read([piece for piece in pieces if piece])

    expected = [(b"abcde", {"b": "one", "c": "two"}, True)] * 2 + [(b"wxyz", {}, False)]
    assert expected == [(one.body, one.trailers, one.keeps_alive) for one in found]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([CHUNKED, PLAIN, b"\r\n"]))))
def test_garbage(pieces: list[bytes]) -> None:
    """Any bytes are requests or an HttpError, and requests never break the state machine."""
    api = running()
    reader = RequestReader(api.decide_body_max)
    try:
        for piece in pieces:
            for request in reader.feed(piece):
                api.handle(request)
    except HttpError:
        pass


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "PUT"]),
            st.sampled_from(["invocation/next", "invocation/r/response", "invocation/r/error"]),
            st.binary(max_size=30),
        )
    )
)
def test_any_order_of_requests(asked: list[tuple[str, str, bytes]]) -> None:
    """However a client behaves: one ANSWER a call, and a READY before each."""
    api = RuntimeApi()
    calls = 0
    for method, verb, body in asked:
        api.handle(Request(method, RUNTIME + verb, body=body))
        if api.state is State.READY and api.take_call() is None:
            calls += 1
            api.begin("r", b"call")
            api.take_call()

    kinds = [frame.kind for frame in api.frames]
    expected = [READY, ANSWER] * (len(kinds) // 2) + [READY] * (len(kinds) % 2)
    assert expected == kinds
    assert calls == kinds.count(READY)


def test_bodies_are_bounded() -> None:
    """One byte more than wanted, and nothing of it is kept; the request still ends."""
    whole, too_large = read([CHUNKED], body_max=5) + read([CHUNKED], body_max=4)

    assert (b"abcde", False) == (whole.body, whole.is_too_large)
    assert (b"", True) == (too_large.body, too_large.is_too_large)


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nA: ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: ",
    ],
)
def test_headers_are_bounded(beginning: bytes) -> None:
    """Endless targets, names, values, extensions and trailers come to an end."""
    reader = RequestReader(lambda _method, _target: 0)
    reader.feed(beginning)
    for _ in range(HEADERS_BYTES_MAX // 65_536 - 1):
        reader.feed(b"x" * 65_536)

    with pytest.raises(HttpError):
        reader.feed(b"x" * 131_072)


def test_headers_are_counted() -> None:
    """Many small ones cost more memory than their bytes."""
    many = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (HEADERS_MAX + 1) + b"\r\n"

    with pytest.raises(HttpError, match="headers"):
        read([many])


def test_a_large_header_is_taken() -> None:
    """Clients put up to a mebibyte of causes into one."""
    large = b"POST / HTTP/1.1\r\nA: " + b"x" * (1 << 20) + b"\r\nContent-Length: 0\r\n\r\n"

    assert 1 << 20 == len(read([large])[0].headers["a"])


@pytest.mark.parametrize(
    "wrong",
    [
        b"hello\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_request(wrong: bytes) -> None:
    """It is an HttpError, whatever the parser calls it."""
    with pytest.raises(HttpError):
        read([wrong])


def test_only_what_is_awaited_is_kept() -> None:
    """Bodies for other paths, and answers while none is due, are dropped as they come."""
    api = RuntimeApi()
    response = f"{RUNTIME}invocation/r/response"
    assert 1 << 20 == api.decide_body_max("POST", f"{RUNTIME}init/error")
    api.handle(NEXT)
    assert 0 == api.decide_body_max("POST", response)
    api = running()
    assert BODY_BYTES_MAX == api.decide_body_max("POST", response)
    assert 0 == api.decide_body_max("PUT", response)
    assert 0 == api.decide_body_max("POST", "/elsewhere")
