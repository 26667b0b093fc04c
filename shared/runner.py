"""The runner of a stage that maps one event to events: `run` around `run_once`.

Not here: the executor and the publisher, which have work in flight and loops of their own.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared import metrics
from shared.backoff import Backoff
from shared.codec import UndecodableError, decode
from shared.events import Anything, Event
from shared.inbox import Delivery, Inbox, LogUnavailableError
from shared.logging import log_event
from shared.pace import Pace

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage is a value: its name and what it makes of an event."""

    name: str
    handle: Callable[[Anything], Sequence[Event]]
    attempts_max: int = 5
    batch_max: int = 128
    tell: Callable[[], None] = lambda: None  # its metrics, once after a batch


def take_event(stage: str, inbox: Inbox, delivery: Delivery, attempts_max: int) -> Anything | None:
    """The event of a delivery, or None after burying what cannot or must not be handled."""
    if delivery.attempt > attempts_max:
        inbox.bury(delivery, f"{attempts_max} attempts ended without a commit")
    else:
        try:
            return decode(delivery.payload)
        except UndecodableError as error:
            inbox.bury(delivery, f"no event: {error}")
    log_event(LOG, "entry.buried", level=logging.ERROR, stage=stage, entry_id=delivery.entry_id)
    return None


def run_once(stage: Stage, inbox: Inbox, block_ms: int) -> int:
    """Receive one batch, handle it, queue its commits; returns how many entries there were."""
    deliveries = inbox.receive(stage.batch_max, block_ms)
    for delivery in deliveries:
        event = take_event(stage.name, inbox, delivery, stage.attempts_max)
        if event is None:
            continue
        try:
            outputs = stage.handle(event)
        except Exception:  # noqa: BLE001 - the one broad except: a poison event must not stop a stage
            reason = traceback.format_exc(limit=-5)
            log_event(LOG, "entry.poison", level=logging.ERROR, stage=stage.name, reason=reason)
            inbox.bury(delivery, reason)
            continue
        inbox.commit(delivery, outputs)
    if deliveries:
        metrics.HANDLED.labels(stage.name).inc(len(deliveries))
        stage.tell()
    return len(deliveries)


def run(stage: Stage, inbox: Inbox, stop: threading.Event, block_ms: int = 1_000) -> None:
    """Run until `stop`; an absent log is waited for. Ends with every commit confirmed."""
    backoff = Backoff(stage.name, "redis")
    pace = Pace()
    while not stop.is_set():
        try:
            count = run_once(stage, inbox, block_ms)
            backoff.reset()
            time.sleep(pace.decide_pause(count, time.monotonic()))
        except LogUnavailableError as error:
            backoff.wait(stop, error)
    inbox.close()
