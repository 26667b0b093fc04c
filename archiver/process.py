"""The archiver's process: one leads, others stand by.

Not here: what is archived (`archiver`). `build` is the only place of it that makes clients. Two
leaders for a moment are harmless: both make the same files.
"""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from archiver.archiver import ArchiveDiffersError, Archiver
from archiver.closing import Rules
from shared.archive import ArchiveUnavailableError, open_archive
from shared.backoff import Backoff
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.redis_inbox import make_consumer_name
from shared.retention import Retention
from shared.settings import Settings

LOG = logging.getLogger(__name__)
STAGE = "archive"
_LOOK_SECONDS = 1.0

__all__ = ["ArchiveDiffersError", "build", "run"]


@dataclass(slots=True)
class Lead:
    """Whether this process leads; renewed when a third of its time is over."""

    log: Log
    consumer: str
    ttl_ms: int
    renew_at_s: float = 0.0

    def keep(self) -> bool:
        """Cheap to call often. Raises LogUnavailableError."""
        if time.monotonic() < self.renew_at_s:
            return True
        if not self.log.lead(STAGE, self.consumer, self.ttl_ms):
            self.renew_at_s = 0.0
            return False
        self.renew_at_s = time.monotonic() + self.ttl_ms / 3_000
        return True

    def give_up(self) -> None:
        """A standby need not wait."""
        with suppress(LogUnavailableError):  # then it runs out by itself
            self.log.resign(STAGE, self.consumer)
        self.log.close()


def build(settings: Settings) -> Archiver:
    """The archiver, for what the settings name. Nothing is called yet."""
    return Archiver(
        retention=Retention(settings.redis_address),
        archive=open_archive(settings),
        partitions=settings.partitions,
        rules=Rules(
            settings.archive_seconds * 1_000,
            settings.archive_rows_max,
            settings.log_keep_seconds * 1_000,
        ),
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Archive until `stop`. Raises ArchiveDiffersError where going on could lose something."""
    archiver = build(settings)
    log = Log(settings.redis_address, settings.partitions)
    # Longer than a tuner's: a stretch takes a while, and a standby loses nothing by waiting.
    lead = Lead(log, make_consumer_name(STAGE), settings.lead_ttl_ms * 2)
    redis, storage = Backoff(STAGE, "redis"), Backoff(STAGE, "s3")
    while not stop.is_set():
        try:
            rows = archiver.run_once(lead.keep) if lead.keep() else 0
        except LogUnavailableError as error:
            redis.wait(stop, error)
        except ArchiveUnavailableError as error:
            redis.reset()
            storage.wait(stop, error)
        else:
            redis.reset()
            storage.reset()
            if not rows:
                stop.wait(_LOOK_SECONDS)
    lead.give_up()
    archiver.retention.close()
