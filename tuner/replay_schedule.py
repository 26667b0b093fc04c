"""The replay job: refreshes the cost models by the clock (APScheduler) and on demand.

Not here: what a refresh is (`refresh`). One runs at a time, whichever process started it: the log
keeps a lead for it. A history that cannot be read, or a log that does not answer, ends this run and
is told; the next one begins anew, since nothing was changed.
"""

import logging
import threading
import time
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from shared import metrics
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.redis_inbox import make_consumer_name
from shared.settings import Settings
from tuner.history import ArchiveHistory, HistoryError
from tuner.refresh import Progress, fold_states, make_models, open_history, read_ends

LOG = logging.getLogger(__name__)
STAGE = "replay"
_LEAD_MS = 60_000


class ReplayCronError(Exception):
    """REPLAY_CRON cannot be read; the message says what it may be."""


class ReplayRunningError(Exception):
    """Another replay is running; wait for it."""


def refresh(settings: Settings, progress: Progress = lambda _: None) -> int:
    """Fold all history into new models and append them; how many functions there were.

    Raises ReplayRunningError, HistoryError or LogUnavailableError.
    """
    log = Log(settings.redis_address, settings.partitions)
    consumer = make_consumer_name(STAGE)
    if not log.lead(STAGE, consumer, _LEAD_MS):
        raise ReplayRunningError("another replay is running: wait for it to end")
    stopped = threading.Event()
    keeper = threading.Thread(target=_keep_lead, args=(log, consumer, stopped), daemon=True)
    keeper.start()
    try:
        archive = ArchiveHistory(Path(settings.archive_dir)) if settings.archive_dir else None
        ends = read_ends(log, settings.partitions)
        history = open_history(log, settings.partitions, archive, ends)
        states = fold_states(history.read(), progress)
        now_ms = time.time_ns() // 1_000_000
        for partition, model in make_models(states, ends, now_ms):
            log.append(model, partition=partition)
    finally:
        stopped.set()
        keeper.join()
        log.resign(STAGE, consumer)
        log.close()
    return len(states)


def run(settings: Settings, stop: threading.Event) -> None:
    """Refresh at the times of REPLAY_CRON until `stop`. Raises ReplayCronError."""
    scheduler = BackgroundScheduler()
    try:
        trigger = CronTrigger.from_crontab(settings.replay_cron)
    except ValueError as error:
        message = f"REPLAY_CRON: {error}. Five fields: minute hour day month weekday"
        raise ReplayCronError(message) from error
    scheduler.add_job(_run_once, trigger, [settings], max_instances=1, coalesce=True)
    scheduler.start()
    log_event(LOG, "replay.scheduled", cron=settings.replay_cron)
    stop.wait()
    scheduler.shutdown(wait=False)


def _run_once(settings: Settings) -> None:
    try:
        count = refresh(settings, lambda done: log_event(LOG, "replay.progress", event_count=done))
    except (ReplayRunningError, HistoryError, LogUnavailableError) as error:
        skipped = isinstance(error, ReplayRunningError)
        metrics.REPLAYS.labels("skipped" if skipped else "failed").inc()
        log_event(LOG, "replay.failed", level=logging.WARNING, reason=error)
    else:
        metrics.REPLAYS.labels("refreshed").inc()
        metrics.REPLAYED.set_to_current_time()
        log_event(LOG, "replay.refreshed", function_count=count)


def _keep_lead(log: Log, consumer: str, stopped: threading.Event) -> None:
    while not stopped.wait(_LEAD_MS / 3_000):
        try:
            log.lead(STAGE, consumer, _LEAD_MS)
        except LogUnavailableError as error:
            log_event(LOG, "replay.lead_unkept", level=logging.WARNING, reason=error)
