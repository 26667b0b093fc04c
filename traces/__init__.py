"""Traces: the way of each invocation as OpenTelemetry spans, told after the fact from the log."""
