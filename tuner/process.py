"""The tuner's process: the one active consumer, whose state is folded from its own input.

A second tuner stands by. Whoever takes the lead takes over everything pending, folds what was
handled before and goes on in order, so a crash changes no advice. A commit that was fenced off
means that somebody else leads: the state is dropped and folded anew.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from shared import metrics
from shared.backoff import Backoff
from shared.events import Advice, Anything, Event, InvocationTuned, MemoryLimitChanged
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.pace import Pace
from shared.projection import fold_handled
from shared.redis_inbox import RedisInbox, make_consumer_name
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import PROFILES
from tuner.adviser import make_adviser
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
    renew_at = 0.0
    backoff = Backoff(STAGE, "redis")
    pace = Pace()
    while not stop.is_set() and not inbox.fenced:
        try:
            if time.monotonic() >= renew_at:
                if not log.lead(STAGE, consumer, ttl_ms):
                    break
                renew_at = time.monotonic() + ttl_ms / 3000
            stage = stage or take_over(settings, log, inbox)
            count = run_once(stage, inbox, block_ms)
            backoff.reset()
            time.sleep(pace.decide_pause(count, time.monotonic()))
        except LogUnavailableError as error:
            backoff.wait(stop, error)
    log_event(LOG, "tuner.lead_ended", fenced=inbox.fenced)
    inbox.close()
    with suppress(LogUnavailableError):  # then it runs out by itself
        log.resign(STAGE, consumer)


def take_over(settings: Settings, log: Log, inbox: RedisInbox) -> Stage:
    """Claim what the last leader left, then fold what it had handled."""
    inbox.claim_all()
    tuner = Tuner(make_adviser(settings))
    count = fold_handled(log, PROFILES, settings.partitions, tuner.restore)
    log_event(LOG, "tuner.restored", event_count=count)
    return Stage(STAGE, Counter(tuner).handle, settings.attempts_max, settings.batch_max)


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
