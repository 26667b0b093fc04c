"""The tuner's process: the one active consumer, whose state is folded from its own input.

A second tuner stands by. Whoever takes the lead takes over everything pending, folds what was
handled before and goes on in order, so a crash changes no advice. A commit that was fenced off
means that somebody else leads: the state is dropped and folded anew.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from shared import metrics
from shared.archive import ArchiveUnavailableError, open_archive
from shared.backoff import Backoff
from shared.events import (
    Advice,
    Anything,
    Event,
    InvocationTuned,
    MemoryLimitChanged,
)
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.pace import Pace
from shared.redis_inbox import RedisInbox, make_consumer_name
from shared.retention import Retention
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import MODELS, PROFILES
from shared.whole_log import WholeLog
from tuner.adviser import make_adviser
from tuner.restore import restore
from tuner.stage import Tuner

LOG = logging.getLogger(__name__)
STAGE = "tuner"


class Counter:
    """The tuner at the edge: what it advises shows in the metrics."""

    def __init__(self, tuner: Tuner) -> None:
        self._tuner = tuner
        self._savings_usd: dict[str, float] = {}  # a month, by function
        self._total_usd = 0.0

    def handle(self, event: Anything) -> Sequence[Event]:
        """As the tuner."""
        outputs = self._tuner.handle(event)
        for output in outputs:
            if isinstance(output, InvocationTuned) and output.advice is not None:
                self._count(output.execution.function_id, output.advice)
            if isinstance(output, MemoryLimitChanged):
                metrics.LIMIT_CHANGES.labels(output.action).inc()
        return outputs

    def _count(self, function_id: str, advice: Advice) -> None:
        for finding in advice.findings:
            metrics.FINDINGS.labels(finding.kind.value).inc()
        savings_usd = advice.savings_monthly_usd or 0.0
        self._total_usd += savings_usd - self._savings_usd.get(function_id, 0.0)
        self._savings_usd[function_id] = savings_usd
        metrics.SAVINGS.set(self._total_usd)


def lead(settings: Settings, log: Log, consumer: str, stop: threading.Event) -> None:
    """Fold and advise for as long as this process leads."""
    inbox = RedisInbox(settings, PROFILES, consumer)
    ttl_ms = settings.lead_ttl_ms
    block_ms = min(ttl_ms // 4, 1_000)
    stage: Stage | None = None
    newest: tuple[str, ...] = ()
    renew_at = 0.0
    backoffs = {
        LogUnavailableError: Backoff(STAGE, "redis"),
        ArchiveUnavailableError: Backoff(STAGE, "s3"),
    }
    pace = Pace()
    while not stop.is_set() and not inbox.fenced:
        try:
            if time.monotonic() >= renew_at:
                if not log.lead(STAGE, consumer, ttl_ms):
                    break
                renew_at = time.monotonic() + ttl_ms / 3000
                if newest != (newest := read_newest_models(log, settings.partitions)):
                    if inbox.flush():  # fenced off: somebody else leads
                        break
                    # What is committed is handled, so the fold goes on where it stands.
                    stage = make_stage(settings, log) if stage else take_over(settings, log, inbox)
            stage = stage or take_over(settings, log, inbox)
            count = run_once(stage, inbox, block_ms)
            _reset(backoffs.values())
            time.sleep(pace.decide_pause(count, time.monotonic()))
        except (LogUnavailableError, ArchiveUnavailableError) as error:
            backoffs[type(error)].wait(stop, error)
    log_event(LOG, "tuner.lead_ended", fenced=inbox.fenced)
    inbox.close()
    with suppress(LogUnavailableError):  # then it runs out by itself
        log.resign(STAGE, consumer)


def _reset(backoffs: Iterable[Backoff]) -> None:
    for backoff in backoffs:
        backoff.reset()


def take_over(settings: Settings, log: Log, inbox: RedisInbox) -> Stage:
    """Claim what the last leader left, then fold what it had handled."""
    inbox.claim_all()
    return make_stage(settings, log)


def make_stage(settings: Settings, log: Log) -> Stage:
    """A tuner that knows what was handled so far."""
    tuner = Tuner(make_adviser(settings))
    retention = Retention(settings.redis_address)
    try:
        whole_log = WholeLog(retention, open_archive(settings))
        count = restore(tuner, log, whole_log, settings.partitions)
    finally:
        retention.close()
    log_event(LOG, "tuner.restored", event_count=count)
    return Stage(STAGE, Counter(tuner).handle, settings.attempts_max, settings.batch_max)


def read_newest_models(log: Log, partitions: int) -> tuple[str, ...]:
    """What changes when a replay has refreshed the models."""
    return tuple(log.last_id(MODELS, partition) for partition in range(partitions))


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead or stand by until `stop`. Raises PriceBookError at once where there is none."""
    make_adviser(settings)
    log = Log(settings.redis_address, settings.partitions)
    backoff = Backoff(STAGE, "redis")
    while not stop.is_set():
        consumer = make_consumer_name(STAGE)
        try:
            leading = log.lead(STAGE, consumer, settings.lead_ttl_ms)
        except LogUnavailableError as error:
            backoff.wait(stop, error)
            continue
        backoff.reset()
        if leading:
            lead(settings, log, consumer, stop)
        else:
            stop.wait(min(settings.lead_ttl_ms / 2000, 1.0))
