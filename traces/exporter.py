"""Sends spans by OTLP over HTTP; the only file that knows OpenTelemetry, which is optional.

Certificates, headers, compression and time-out are read by OpenTelemetry from its own variables
(OTEL_EXPORTER_OTLP_HEADERS and so on), as OTEL_RESOURCE_ATTRIBUTES are.
"""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from traces.spans import Span

_SCOPE = InstrumentationScope("hearth")


class Exporter:
    """One receiver."""

    def __init__(self, endpoint: str) -> None:
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._resource = Resource.create({SERVICE_NAME: "hearth"})

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the receiver took them; repeats by itself what may work again, for seconds."""
        readable = [self._translate(span) for span in spans]
        return self._exporter.export(readable) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Let go of the connection; ends an export that waits."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _translate(self, span: Span) -> ReadableSpan:
        failed = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK)
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=SpanKind.CONSUMER if span.name.startswith("invocation") else SpanKind.INTERNAL,
            status=failed,
            start_time=span.start_us * 1_000,
            end_time=span.end_us * 1_000,
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))
