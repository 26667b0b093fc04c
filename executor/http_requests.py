"""HTTP/1.1 requests out of the bytes of one connection: incremental, bounded, without a socket.

Not here: what the requests mean (`runtime_api`), sockets (`runtime_api_channel`). The grammar is
llhttp's. Everything that arrives is untrusted: what is kept is bounded by bytes, and a body that
nobody asked for is read and dropped, so that its sender gets an answer instead of a reset.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

# Clients put the causes of errors into headers, up to 1 MiB; trailers count as well.
HEADERS_BYTES_MAX = (1 << 20) + (64 << 10)
HEADERS_MAX = 256

Headers = dict[str, str]  # names in lower case; of two of a name the last


class HttpError(Exception):
    """What arrived is no HTTP, or larger than is allowed. The connection is not read any more."""


@dataclass(slots=True)
class Request:
    """One request, whole."""

    method: str = ""
    target: str = ""
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    is_too_large: bool = False  # the body passed its bound and was dropped
    trailers: Headers = field(default_factory=dict)
    keeps_alive: bool = True


class RequestReader:
    """Cuts the bytes that arrive into requests. After an HttpError it must not be fed again.

    `decide_body_max` is asked with method and target how many bytes of a body are wanted.
    """

    def __init__(self, decide_body_max: Callable[[str, str], int]) -> None:
        self._decide_body_max = decide_body_max
        self._parser = HttpRequestParser(self)
        self._done: list[Request] = []
        self._request = Request()
        self._url = b""
        self._body: list[bytes] = []
        self._body_room = 0
        self.body_max = 0  # what may be kept of the body that is coming
        self._in_headers = True
        self._headers_count = 0
        self._overhead_bytes = 0  # of the present headers, chunk's frame or trailers
        self.wants_continue = False  # the client waits for leave to send its body

    def feed(self, received: bytes) -> list[Request]:
        """The requests that `received` completes, oldest first. Raises HttpError.

        What is kept never exceeds one body, one set of headers and what it was just given.
        """
        self._overhead_bytes += len(received)
        try:
            self._parser.feed_data(received)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise HttpError(f"no HTTP/1.1 request: {error}") from error
        if self._overhead_bytes > HEADERS_BYTES_MAX:
            raise HttpError(f"headers of more than {HEADERS_BYTES_MAX} bytes")
        if self._headers_count > HEADERS_MAX:
            raise HttpError(f"more than {HEADERS_MAX} headers")
        done, self._done = self._done, []
        return done

    @property
    def is_in_request(self) -> bool:
        """A request has begun and is not complete."""
        return bool(self._url)

    # -- what the parser calls ---------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body."""
        self._headers_count += 1
        if self._headers_count > HEADERS_MAX:
            return
        headers = self._request.headers if self._in_headers else self._request.trailers
        headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The body comes next."""
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.target = self._url.decode("latin-1")
        self._body_room = self.body_max = self._decide_body_max(request.method, request.target)
        self.wants_continue = request.headers.get("expect", "").lower() == "100-continue"
        self._in_headers = False
        self._overhead_bytes = 0

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._overhead_bytes -= len(part)
        self._body_room -= len(part)
        if self._body_room >= 0:
            self._body.append(part)
        else:
            self._request.is_too_large = True
            self._body.clear()

    def on_chunk_complete(self) -> None:
        """A chunk has at least one byte, so what frames it need not be counted any more."""
        self._overhead_bytes = 0

    def on_message_complete(self) -> None:
        """Nothing is missing."""
        request = self._request
        request.body = b"".join(self._body)
        request.keeps_alive = self._parser.should_keep_alive()
        self._done.append(request)
        self._request = Request()
        self._body.clear()
        self.body_max = 0
        self._url = b""
        self._in_headers = True
        if self._headers_count <= HEADERS_MAX:
            self._headers_count = 0
        self._overhead_bytes = 0
        self.wants_continue = False
