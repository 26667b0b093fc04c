"""The tuner's process: the one active consumer, whose state is folded from its own input.

A second tuner stands by. Whoever takes the lead takes over everything pending, folds what was
handled before and goes on in order, so a crash changes no advice. A commit that was fenced off
means that somebody else leads: the state is dropped and folded anew.
"""

import logging
import threading
import time
from contextlib import suppress

from shared.backoff import Backoff
from shared.codec import UndecodableError, decode
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.redis_inbox import RedisInbox, make_consumer_name
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import PROFILES
from tuner.stage import Tuner

LOG = logging.getLogger(__name__)
STAGE = "tuner"


def restore(log: Log, settings: Settings) -> Tuner:
    """A tuner that knows everything that was handled before."""
    tuner = Tuner(settings.tip_language)
    count = 0
    for partition in range(settings.partitions):
        for payload in log.handled(PROFILES, partition):
            try:
                tuner.restore(decode(payload))
            except UndecodableError:
                continue  # it was buried when it was handled
            count += 1
    log_event(LOG, "tuner.restored", event_count=count)
    return tuner


def lead(settings: Settings, log: Log, consumer: str, stop: threading.Event) -> None:
    """Fold and advise for as long as this process leads."""
    inbox = RedisInbox(settings, PROFILES, consumer)
    ttl_ms = settings.lead_ttl_ms
    block_ms = min(ttl_ms // 4, 1_000)
    stage: Stage | None = None
    renew_at = 0.0
    backoff = Backoff(STAGE, "redis")
    while not stop.is_set() and not inbox.fenced:
        try:
            if time.monotonic() >= renew_at:
                if not log.lead(STAGE, consumer, ttl_ms):
                    break
                renew_at = time.monotonic() + ttl_ms / 3000
            stage = stage or take_over(settings, log, inbox)
            run_once(stage, inbox, block_ms)
            backoff.reset()
        except LogUnavailableError as error:
            backoff.wait(stop, error)
    log_event(LOG, "tuner.lead_ended", fenced=inbox.fenced)
    inbox.close()
    with suppress(LogUnavailableError):  # then it runs out by itself
        log.resign(STAGE, consumer)


def take_over(settings: Settings, log: Log, inbox: RedisInbox) -> Stage:
    """Claim what the last leader left, then fold what it had handled."""
    inbox.claim_all()
    handle = restore(log, settings).handle
    return Stage(STAGE, handle, settings.attempts_max, settings.batch_max)


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead or stand by until `stop`."""
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
