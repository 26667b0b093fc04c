"""A receiver of OTLP over HTTP for tests: a real server that reads the protobuf."""

import gzip
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """Takes OTLP over HTTP; refuses the first request, as one that is just starting."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.refusals = 1
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.refusals:
                    receiver.refusals -= 1
                    self.send_error(503)
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(self.path, ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        assert "/v1/traces" == path
        for resource in request.resource_spans:
            self.services |= {
                one.value.string_value
                for one in resource.resource.attributes
                if one.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def wait(self, trace_ids: Sequence[bytes], seconds: float = 30) -> dict[bytes, dict[str, Span]]:
        """By trace id the spans by name, when all these traces are there."""
        deadline = time.monotonic() + seconds
        while True:
            found: dict[bytes, dict[str, Span]] = {}
            for span in list(self.spans):
                found.setdefault(span.trace_id, {})[span.name] = span
            if set(trace_ids) <= set(found):
                return found
            assert time.monotonic() < deadline, f"{len(found)} traces came"
            time.sleep(0.1)


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """One on a free port."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
