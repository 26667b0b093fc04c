"""The traces process: looks on without a group, and exports each invocation that has its result.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT names a receiver. A trace is a courtesy: what the receiver
does not take after some tries is dropped and counted, and nothing else waits for it.
Not here: what belongs to a trace (`journey`, `spans`).
"""

import importlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from shared import metrics
from shared.backoff import Backoff
from shared.follower import Follower
from shared.inbox import LogUnavailableError
from shared.logging import log_event
from shared.settings import Settings
from shared.topology import EXECUTIONS, PROFILES, PUBLICATIONS, RECOMMENDATIONS, REQUESTS
from traces.journey import Journey, Journeys
from traces.spans import Span, build_trace

LOG = logging.getLogger(__name__)
STREAMS = (REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS)

_LOOK_BACK_MS = 60_000  # a restart loses nothing; what is sent again has the same ids
_BLOCK_MS = 500  # also how fast a stop is seen
_TRIES_MAX = 5
_TRACES_MAX = 100  # in one export


class TracesError(Exception):
    """Traces are asked for and cannot be sent; the message says what to do."""


class Receiver(Protocol):
    """Who takes spans."""

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether it took them."""
        ...

    def close(self) -> None:
        """End."""
        ...


class Tracer:
    """From the log to the receiver; one thread owns it."""

    def __init__(self, follower: Follower, receiver: Receiver, stop: threading.Event) -> None:
        self._follower = follower
        self._receiver = receiver
        self._stop = stop
        self._journeys = Journeys()
        self._backoff = Backoff("traces", "otlp")

    def run_once(self) -> int:
        """Export what has its result since the last call; how many entries were read.

        Raises LogUnavailableError; call it again and it goes on.
        """
        entries = self._follower.read(_BLOCK_MS)
        noted = (self._journeys.note(entry_id, payload) for _, entry_id, payload in entries)
        whole = [one for one in noted if one is not None and _is_wanted(one)]
        for place in range(0, len(whole), _TRACES_MAX):
            self._export(whole[place : place + _TRACES_MAX])
        return len(entries)

    def _export(self, journeys: Sequence[Journey]) -> None:
        spans = [span for journey in journeys for span in build_trace(journey)]
        for _ in range(_TRIES_MAX):
            if self._receiver.export(spans):
                self._backoff.reset()
                metrics.TRACES.labels("exported").inc(len(journeys))
                return
            if self._stop.is_set():
                break
            self._backoff.wait(self._stop, "the receiver did not take them")
        metrics.TRACES.labels("failed").inc(len(journeys))
        self._backoff.reset()


def _is_wanted(journey: Journey) -> bool:
    return journey.parent is None or journey.parent.is_sampled


def make_receiver(endpoint: str) -> Receiver:
    """The OTLP exporter. Raises TracesError where OpenTelemetry is not installed."""
    try:
        module = importlib.import_module("traces.exporter")
    except ModuleNotFoundError as error:
        message = f"{error}. Traces need OpenTelemetry: pip install 'hearth[otel]'"
        raise TracesError(message) from error
    receiver: Receiver = module.Exporter(endpoint)
    return receiver


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`. Raises TracesError."""
    if not settings.otel_exporter_otlp_endpoint:
        log_event(LOG, "traces.off", advice="OTEL_EXPORTER_OTLP_ENDPOINT names no receiver")
        stop.wait()
        return
    receiver = make_receiver(settings.otel_exporter_otlp_endpoint)
    begin_ms = time.time_ns() // 1_000_000 - _LOOK_BACK_MS
    follower = Follower(settings.redis_address, settings.partitions, STREAMS)
    follower.start(since_ms=begin_ms)
    tracer = Tracer(follower, receiver, stop)
    backoff = Backoff("traces", "redis")
    log_event(LOG, "traces.on", endpoint=settings.otel_exporter_otlp_endpoint)
    while not stop.is_set():
        try:
            tracer.run_once()
            backoff.reset()
        except LogUnavailableError as error:
            backoff.wait(stop, error)
    receiver.close()
    follower.close()
