"""Leading one partition: the one active consumer, whose state is folded from its own input.

Whoever takes the lead takes over everything pending, folds what was handled before and goes on in
order, so a crash changes no advice. A commit that was fenced off means that somebody else leads:
the state is dropped and folded anew. Not here: which partitions a process tries (`process`).
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from shared import metrics
from shared.backoff import Backoff
from shared.codec import UndecodableError, decode
from shared.events import (
    Advice,
    Anything,
    Event,
    InvocationProfiled,
    InvocationTuned,
    MemoryLimitChanged,
)
from shared.inbox import LogUnavailableError
from shared.log import Log, Standing
from shared.logging import log_event
from shared.open_inbox import StreamInbox, open_inbox
from shared.pace import Pace
from shared.redis_inbox import make_consumer_name
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import MODELS, PROFILES
from tuner.adviser import make_adviser
from tuner.refresh import read_models
from tuner.stage import Tuner
from tuner.state import resume

LOG = logging.getLogger(__name__)
STAGE = "tuner"
_RUN_OUT_MS = 5  # past the end of a dead leader's time
_LOOK_MS_MAX = 1_000  # between two looks of a standby


class Counting:
    """A partition's tuner at the edge: what it advises shows in the metrics."""

    def __init__(self, tuner: Tuner) -> None:
        self._tuner = tuner
        self._savings_usd: dict[str, float] = {}  # a month, by function
        self._unshown_usd = 0.0
        self._findings: Counter[str] = Counter()

    def handle(self, event: Anything) -> Sequence[Event]:
        """As the tuner."""
        outputs = self._tuner.handle(event)
        for output in outputs:
            if isinstance(output, InvocationTuned) and output.advice is not None:
                self._count(output.execution.function_id, output.advice)
            if isinstance(output, MemoryLimitChanged):
                metrics.LIMIT_CHANGES.labels(output.action).inc()
        return outputs

    def tell(self) -> None:
        """Bring the metrics up to date, once a batch."""
        for kind, count in self._findings.items():
            metrics.FINDINGS.labels(kind).inc(count)
        self._findings.clear()
        metrics.SAVINGS.inc(self._unshown_usd)
        self._unshown_usd = 0.0

    def retire(self) -> None:
        """Somebody else counts from here."""
        self.tell()
        metrics.SAVINGS.dec(sum(self._savings_usd.values()))
        self._savings_usd.clear()

    def _count(self, function_id: str, advice: Advice) -> None:
        for finding in advice.findings:
            self._findings[finding.kind.value] += 1
        savings_usd = advice.savings_monthly_usd or 0.0
        self._unshown_usd += savings_usd - self._savings_usd.get(function_id, 0.0)
        self._savings_usd[function_id] = savings_usd


@dataclass(slots=True)
class Offices:
    """How many partitions this process leads, and when it may give one to a process with fewer.

    One at a time: whoever takes it needs a moment to be seen with one more.
    """

    pause_s: float
    led: int = 0
    _given_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self) -> None:
        """One more."""
        with self._lock:
            self.led += 1

    def leave(self) -> None:
        """One less."""
        with self._lock:
            self.led -= 1

    def should_give(self, standby_led: int) -> bool:
        """Whether a standby that leads so many should have one of ours."""
        with self._lock:
            now = time.monotonic()
            if (
                standby_led < 0
                or self.led <= standby_led + 1
                or now < self._given_at + self.pause_s
            ):
                return False
            self._given_at = now
            return True


class Leader:
    """One partition, led whenever nobody else does. One thread owns it."""

    def __init__(self, settings: Settings, log: Log, partition: int, offices: Offices) -> None:
        self._settings = settings
        self._log = log
        self._partition = partition
        self._offices = offices
        self._counter: Counting | None = None
        self._newest_model = ""
        self._rest_s = 0.0  # before the next try: somebody else should have it

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until `stop`."""
        ttl_ms = self._settings.lead_ttl_ms
        backoff = Backoff(STAGE, "redis")
        while not stop.is_set():
            consumer = make_consumer_name(STAGE)
            try:
                standing = self._log.contend(
                    STAGE, self._partition, consumer, ttl_ms, led=self._offices.led
                )
            except LogUnavailableError as error:
                backoff.wait(stop, error)
                continue
            backoff.reset()
            if standing.leads:
                self._offices.enter()
                try:
                    self._lead(consumer, stop)
                finally:
                    self._offices.leave()
                stop.wait(self._rest_s)
                self._rest_s = 0.0
            else:
                wait_ms = min(standing.left_ms + _RUN_OUT_MS, ttl_ms / 2, _LOOK_MS_MAX)
                stop.wait(max(wait_ms, _RUN_OUT_MS) / 1_000)

    def _lead(self, consumer: str, stop: threading.Event) -> None:
        """Fold and advise for as long as this consumer leads."""
        inbox = open_inbox(self._settings, PROFILES, consumer, partitions=(self._partition,))
        block_ms = min(self._settings.lead_ttl_ms // 4, 1_000)
        stage: Stage | None = None
        self._newest_model = ""
        renew_at = 0.0
        backoff = Backoff(STAGE, "redis")
        pace = Pace()
        while not stop.is_set() and not inbox.fenced:
            try:
                if time.monotonic() >= renew_at:
                    if not self._renew(consumer):
                        break
                    renew_at = time.monotonic() + self._settings.lead_ttl_ms / 3000
                    if stage is not None and self._has_newer_models():
                        if inbox.flush():  # fenced off: somebody else leads
                            break
                        # What is committed is handled, so the fold goes on where it stands.
                        stage = self._make_stage()
                stage = stage or self._take_over(inbox)
                count = run_once(stage, inbox, block_ms)
                backoff.reset()
                time.sleep(pace.decide_pause(count, time.monotonic()))
            except LogUnavailableError as error:
                backoff.wait(stop, error)
        log_event(LOG, "tuner.lead_ended", partition=self._partition, fenced=inbox.fenced)
        inbox.close()
        if self._counter is not None:
            self._counter.retire()
        with suppress(LogUnavailableError):  # then it runs out by itself
            self._log.resign(STAGE, consumer, self._partition)

    def _renew(self, consumer: str) -> bool:
        """Keep the lead; False where it is gone, or given to a process that has fewer."""
        ttl_ms = self._settings.lead_ttl_ms
        standing: Standing = self._log.contend(
            STAGE, self._partition, consumer, ttl_ms, led=self._offices.led
        )
        if not standing.leads:
            return False
        if self._offices.should_give(standing.standby_led):
            self._rest_s = 2 * min(ttl_ms / 2, _LOOK_MS_MAX) / 1_000
            return False
        return True

    def _has_newer_models(self) -> bool:
        """Whether a replay has refreshed the models since the last look."""
        newest: str = self._log.last_id(MODELS, self._partition)
        is_newer = newest != self._newest_model
        self._newest_model = newest
        return is_newer

    def _take_over(self, inbox: StreamInbox) -> Stage:
        """Claim what the last leader left, then fold what it had handled."""
        inbox.claim_all()
        self._has_newer_models()
        return self._make_stage()

    def _make_stage(self) -> Stage:
        """A tuner that knows what was handled so far."""
        tuner = Tuner(make_adviser(self._settings))
        count = restore(tuner, self._log, self._partition)
        log_event(LOG, "tuner.restored", partition=self._partition, event_count=count)
        if self._counter is not None:
            self._counter.retire()
        self._counter = Counting(tuner)
        settings = self._settings
        counting = self._counter
        return Stage(
            STAGE, counting.handle, settings.attempts_max, settings.batch_max, counting.tell
        )


def restore(tuner: Tuner, log: Log, partition: int) -> int:
    """Go on from the latest models, and fold what was handled after them; how many events."""
    count = 0
    models = read_models(log, partition)
    untils = {name: parse_entry_id(model.until_entry) for name, model in models.items()}
    for model in models.values():
        tuner.know(model.function_id, resume(model.state))
    for entry_id, payload in log.handled_entries(PROFILES, partition):
        try:
            event = decode(payload)
        except UndecodableError:
            continue  # it was buried when it was handled
        if not isinstance(event, InvocationProfiled):
            continue
        until = untils.get(event.execution.function_id)
        if until is None or parse_entry_id(entry_id) > until:
            tuner.restore(event)
            count += 1
    return count


def parse_entry_id(entry_id: str) -> tuple[int, int]:
    """The two numbers of an entry id, which sort as the log does."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
