"""Spans of a running stack, as a real OTLP receiver gets them."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fixtures_stack import MakeStack
from traces.spans import derive_trace_id

STAGES = ("ingest", "executor", "profiler", "tuner", "publisher", "traces")
SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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

    def wait(self, traces: int, seconds: float = 30) -> dict[bytes, dict[str, Span]]:
        """By trace id the spans by name, when there are so many traces."""
        deadline = time.monotonic() + seconds
        while True:
            found: dict[bytes, dict[str, Span]] = {}
            for span in list(self.spans):
                found.setdefault(span.trace_id, {})[span.name] = span
            if len(found) >= traces:
                return found
            assert time.monotonic() < deadline, f"{len(found)} traces came"
            time.sleep(0.1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


def test_an_invocation_is_one_trace(make_stack: MakeStack, receiver: Receiver) -> None:
    """Through all stages, with its phases; a sender's trace goes on; a refusal loses nothing."""
    endpoint = f"http://127.0.0.1:{receiver.server.server_port}"
    _, client = make_stack(*STAGES, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    slow = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return 1 / event\n"
    client.deploy("slow", {"main.py": slow})

    client.invoke("traced-1", "slow", input=1)
    client.invoke("traced-2", "slow", input=0, traceparent=SENDER)
    client.invoke("traced-3", "slow", input=1, traceparent=SENDER[:-2] + "00")  # not sampled
    client.invoke("traced-4", "slow", input=1)
    traces = receiver.wait(3)

    of_first = traces[derive_trace_id("traced-1").to_bytes(16)]
    of_second = traces[bytes.fromhex(SENDER[3:35])]
    assert 3 == len(traces)
    assert {"hearth"} == receiver.services
    assert {
        "invocation slow",
        "queued",
        "sandbox",
        "init",
        "run",
        "profile",
        "tune",
        "publish",
    } <= (set(of_first))
    assert "sandbox" not in of_second
    assert bytes.fromhex(SENDER[36:52]) == of_second["invocation slow"].parent_span_id
    assert "ZeroDivisionError" in of_second["run"].status.message
    root, run = of_first["invocation slow"], of_first["run"]
    assert root.span_id == run.parent_span_id
    assert 50_000_000 < run.end_time_unix_nano - run.start_time_unix_nano < 5_000_000_000
    assert root.start_time_unix_nano <= run.start_time_unix_nano
    assert run.end_time_unix_nano <= root.end_time_unix_nano
