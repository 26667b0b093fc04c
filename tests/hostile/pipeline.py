"""All stages in one process, on real Redis, turned by hand until nothing is left to do.

SQS and the bucket of results are in memory: an HTTP call each would be measured, not the stages.
The parts are those that the processes build; what a stage raises is raised here.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import redis

import profiler.process
from executor.process import build, make_inbox
from executor.sandbox import SandboxFactory
from ingest.leases import Leases
from ingest.receive import Receiver
from ingest.settle import Settler
from ingest.take import Taker, make_desk
from publisher.stage import Publisher
from publisher.writers import Writers
from shared.codec import UndecodableError, decode
from shared.events import Anything
from shared.inbox import Inbox
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import (
    DEAD,
    EXECUTIONS,
    MODELS,
    PROFILES,
    PUBLICATIONS,
    RECOMMENDATIONS,
    STREAMS,
    Stream,
    key,
)
from tests.fakes.memory_queue import MemoryQueue
from tuner.leader import make_counting, make_stage

# Of `models` no group reads every entry.
READ = tuple(stream for stream in STREAMS if stream is not MODELS)


@dataclass
class MemoryBucket:
    """Takes every document."""

    name: str = "results"
    documents: dict[str, bytes] = field(default_factory=dict)

    def write(self, key: str, document: bytes) -> None:
        """See `publisher.writers.Bucket`."""
        assert len(key.encode()) <= 1_024, "S3 would refuse it for ever"
        self.documents[key] = document


class Pipeline:
    """Ingest, executor, profiler, tuner and publisher."""

    def __init__(self, settings: Settings, factory: SandboxFactory) -> None:
        self.settings = settings
        self.queue = MemoryQueue(600)
        self.log = Log(settings.redis_address, settings.partitions)
        self.redis: Any = redis.Redis.from_url(settings.redis_address)
        self.bucket = MemoryBucket()
        self._writers: Writers[Any] = Writers(self.bucket, 4)
        leases = Leases(600)
        self.receiver = Receiver(Taker(make_desk(self.queue, self.log, leases, settings)))
        self._executor_inbox = make_inbox(settings)
        self._executor = build(settings, factory, self._executor_inbox)
        self._publisher = Publisher(
            inbox=RedisInbox(settings, RECOMMENDATIONS, "publisher", overlapped=True),
            log=self.log,
            writers=self._writers,
            bucket=self.bucket.name,
            settings=settings,
        )
        counting = profiler.process.Counting()
        self._stages = [
            self._stage(Stage("profiler", counting.handle, tell=counting.tell), EXECUTIONS),
            self._stage(make_stage(settings, make_counting(settings, self.log, 0)), PROFILES),
        ]
        self._settlers = [
            Settler(RedisInbox(settings, stream, "ingest"), self.queue, self.log, leases, settings)
            for stream in (PUBLICATIONS, DEAD)
        ]

    def _stage(self, stage: Stage, stream: Stream) -> tuple[Stage, Inbox]:
        return stage, RedisInbox(self.settings, stream, stage.name)

    def turn(self) -> None:
        """Every stage once."""
        self._executor.run_once(5)
        for stage, inbox in self._stages:
            run_once(stage, inbox, 1)
            inbox.flush()
        self._publisher.run_once(1)
        self._publisher.inbox.flush()
        for settler in self._settlers:
            settler.run_once(1)
            settler.inbox.flush()

    def run_dry(self, seconds: float = 60) -> None:
        """Turn until no group has anything unread or pending."""
        deadline = time.monotonic() + seconds
        self.turn()  # the first one makes the groups
        while left := self.left():
            assert time.monotonic() < deadline, f"still unhandled: {left}"
            self.turn()

    def left(self) -> dict[str, int]:
        """Unread and pending entries by stream."""
        counts: dict[str, int] = {}
        for stream in READ:
            for group in self.redis.xinfo_groups(key(stream, 0)):
                count = group["pending"] + (group["lag"] or 0)
                if count:
                    counts[stream.name] = count
        return counts

    def feed(self, stream: Stream, payload: bytes) -> str:
        """Append bytes as they are; returns the entry id."""
        return str(self.redis.xadd(key(stream, 0), {"event": payload}).decode())

    def events(self, stream: Stream) -> list[Anything]:
        """Every event of a stream; what is none is left out."""
        found: list[Anything] = []
        for _, payload in self.log.entries(stream, 0):
            try:
                found.append(decode(payload))
            except UndecodableError:
                continue
        return found

    def close(self) -> None:
        """End it all."""
        self._executor.close()
        self._writers.close()
        inboxes = [inbox for _, inbox in self._stages] + [one.inbox for one in self._settlers]
        for inbox in (*inboxes, self._publisher.inbox, self._executor_inbox):
            inbox.close()
        self.log.close()
        self.redis.close()
