"""`python -m bench.bounded`: many invocations through the log with little memory for it.

Real: Redis with a bound, the accepting script, back-pressure, profiler, tuner, publisher, archiver,
all commits. Stand-ins: SQS (a counter), the executor's sandboxes (readings that somebody wrote
down), S3 (a folder for the archive, nothing for the documents). One process turns all of them.

It says how much memory Redis used at most, and that archive and live entries hold each event once.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event as Signal
from typing import Any

import msgspec
import redis

from archiver.archiver import Archiver
from archiver.closing import Rules
from ingest.memory_room import MemoryRoom, RedisFullError
from local.redis_server import redis_server
from profiler.stage import handle as profile
from publisher.keep_time import KeepTime
from publisher.stage import Publisher
from publisher.writers import Writers
from shared.archive import FolderArchive
from shared.codec import decode, encode
from shared.events import (
    Accuracy,
    Anything,
    Code,
    Event,
    Execution,
    InvocationFinished,
    InvocationProfiled,
    InvocationRequested,
    Limits,
    Outcome,
    Phases,
    Readings,
    Runtime,
    Start,
    derive_event_id,
)
from shared.log import Log
from shared.redis_inbox import RedisInbox
from shared.retention import Entries, Retention
from shared.runner import Stage, run_once
from shared.settings import Settings
from shared.topology import (
    EXECUTIONS,
    PROFILES,
    PUBLICATIONS,
    RECOMMENDATIONS,
    REQUESTS,
    STREAMS,
    Stream,
    key,
)
from shared.whole_log import Archived, Span, WholeLog
from tuner.restore import restore
from tuner.stage import Tuner

_FED = (REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS)
_FUNCTIONS = 50
_CPU = (
    "usage_usec {0}\nuser_usec {1}\nsystem_usec 100\n"
    "nr_periods 4\nnr_throttled 0\nthrottled_usec 0\n"
)


@dataclass
class Figures:
    """What was seen."""

    invocations: int
    redis_bytes_max: int
    bound_bytes: int
    refused: int  # turns in which ingest received nothing, since Redis was nearly full
    files: int
    live: int  # entries that were left in Redis
    once: bool  # each event of each stream exactly once in archive and live
    identical: bool  # recommendations made again out of the whole log, byte for byte
    cpu_seconds: float
    seconds: float


class _NoBucket:
    name = "none"

    def write(self, key: str, document: bytes) -> None:
        """As if S3 had taken it at once."""


class Pipeline:
    """All stages of one log, turned by hand."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        url = settings.redis_address
        self.log, self.retention = Log(url), Retention(url)
        self.tuner = Tuner()
        self.stages = [
            (Stage("executor", _execute, batch_max=256), RedisInbox(settings, REQUESTS, "e-1")),
            (Stage("profiler", profile, batch_max=256), RedisInbox(settings, EXECUTIONS, "p-1")),
            (Stage("tuner", self.tuner.handle, batch_max=256),
             RedisInbox(settings, PROFILES, "t-1")),
            (Stage("ingest", lambda _: (), batch_max=256),
             RedisInbox(settings, PUBLICATIONS, "s-1")),
        ]  # fmt: skip
        self.publisher = Publisher(
            RedisInbox(settings, RECOMMENDATIONS, "w-1", overlapped=True),
            self.log,
            Writers(_NoBucket(), 2),
            "none",
            settings,
            keep_time=KeepTime(Retention(url), settings),
        )
        rules = Rules(600_000, settings.archive_rows_max, settings.log_keep_seconds * 1_000)
        archive = FolderArchive(folder)
        self.archiver = Archiver(
            self.retention, archive, 1, rules, lambda: time.time_ns() // 1_000_000
        )
        self.room = MemoryRoom(self.retention)

    def feed(self, names: Sequence[str]) -> None:
        """Accept requests; raises RedisFullError instead where there is no room."""
        self.room.check()
        for name in names:
            self.log.accept(_request(name), message_id=name, receipt="receipt")

    def turn(self) -> int:
        """Every stage once; how many publications were settled."""
        done = 0
        for stage, inbox in self.stages:
            done = run_once(stage, inbox, 1)
        self.publisher.run_once(1)
        return done

    def close(self) -> None:
        """End it."""
        self.publisher.writers.close()
        for inbox in (*(inbox for _, inbox in self.stages), self.publisher.inbox):
            inbox.close()


def drive(settings: Settings, folder: Path, count: int) -> Figures:
    """So many invocations through the log that the settings name; its Redis has a bound."""
    began, cpu_began = time.monotonic(), time.process_time()
    client: Any = redis.Redis.from_url(settings.redis_address)
    pipeline = Pipeline(settings, folder)
    memory = pipeline.retention.read_memory()
    fed = settled = refused = used_bytes_max = 0
    while settled < count:
        if fed < count and fed - settled < settings.backlog_max:
            batch = [f"req-{number}" for number in range(fed, min(fed + 128, count))]
            try:
                pipeline.feed(batch)
                fed += len(batch)
            except RedisFullError:
                refused += 1
        settled += pipeline.turn()
        used_bytes_max = max(used_bytes_max, pipeline.retention.read_memory().used_bytes)
        pipeline.archiver.run_once()
    pipeline.close()
    whole_log = WholeLog(pipeline.retention, pipeline.archiver.archive)
    return Figures(
        invocations=count,
        redis_bytes_max=used_bytes_max,
        bound_bytes=memory.max_bytes,
        refused=refused,
        files=len(list(folder.glob("stream=*/*/*/*.parquet"))),
        live=sum(client.xlen(key(stream, 0)) for stream in STREAMS),
        once=all(_is_once(whole_log, stream, count) for stream in _FED),
        identical=_is_identical(pipeline, whole_log),
        cpu_seconds=round(time.process_time() - cpu_began, 1),
        seconds=round(time.monotonic() - began, 1),
    )


def _is_once(whole_log: WholeLog, stream: Stream, count: int) -> bool:
    """Each invocation has one event in the stream."""
    seen = bytearray(count)
    for piece in whole_log.read(stream, Span()):
        for _, payload in _read(piece):
            seen[int(decode(payload).invocation_id.removeprefix("req-"))] += 1
    return seen == b"\1" * count


def _is_identical(pipeline: Pipeline, whole_log: WholeLog) -> bool:
    """A tuner from zero, and one that is restored, know and say the same."""
    restored, again = Tuner(), Tuner()
    restore(restored, pipeline.log, whole_log, 0)
    told = (one for piece in whole_log.read(RECOMMENDATIONS, Span()) for one in _read(piece))
    for piece in whole_log.read(PROFILES, Span()):
        for _, payload in _read(piece):
            event = decode(payload)
            assert isinstance(event, InvocationProfiled)
            for output in again.handle(event):
                if next(told)[1] != encode(output):
                    return False
    return pipeline.tuner.save() == restored.save() == again.save()


def _read(piece: Archived | Entries) -> Entries:
    if not isinstance(piece, Archived):
        return piece
    import io  # noqa: PLC0415

    import polars as pl  # noqa: PLC0415

    frame = pl.read_parquet(io.BytesIO(piece.load()), columns=["entry_id", "event"])
    return [(entry_id, event.encode()) for entry_id, event in frame.iter_rows()]


def _request(name: str) -> InvocationRequested:
    return InvocationRequested(
        event_id=derive_event_id(name, "InvocationRequested"),
        invocation_id=name,
        causation_id=name,
        occurred_at_ms=time.time_ns() // 1_000_000,
        function_id=f"function-{hash_of(name) % _FUNCTIONS}",
        runtime=Runtime.PYTHON,
        handler="main.handler",
        code=Code(bucket="code", key="function.zip"),
        memory_mb=512,
        timeout_ms=30_000,
        input=msgspec.Raw(b'{"name":"' + b"x" * 200 + b'"}'),
    )


def hash_of(name: str) -> int:
    """The number in a request's name."""
    return int(name.removeprefix("req-"))


def _execute(event: Anything) -> tuple[Event, ...]:
    """What an executor would have seen."""
    assert isinstance(event, InvocationRequested)
    chance = random.Random(hash_of(event.invocation_id))
    run_us, used_us = chance.randrange(20_000, 30_000), chance.randrange(4_000, 9_000)
    before = {"cpu.stat": _CPU.format(1_000, 900), "memory.current": "20000000\n"}
    after = {
        "cpu.stat": _CPU.format(1_000 + used_us, 900 + used_us),
        "memory.current": "21000000\n",
        "memory.peak": f"{chance.randrange(30 << 20, 60 << 20)}\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    }
    return (
        InvocationFinished(
            event_id=derive_event_id(event.event_id, "InvocationFinished"),
            invocation_id=event.invocation_id,
            causation_id=event.event_id,
            occurred_at_ms=event.occurred_at_ms,
            execution=Execution(
                function_id=event.function_id,
                outcome=Outcome.SUCCEEDED,
                requested_at_ms=event.occurred_at_ms,
                runtime=event.runtime,
                start=Start.WARM,
                worker_id="host-1",
                sandbox_id=f"s-{chance.randrange(3)}",
                limits=Limits(memory_mb=512, timeout_ms=30_000, cpu_quota_us=5_788),
                phases=Phases(run_us=run_us),
                input_bytes=len(event.input),
            ),
            readings=Readings(
                source="cgroup2", accuracy=Accuracy.EXACT, before=before, after=after
            ),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Drive them and print the figures; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m bench.bounded")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--max-mb", type=int, default=128)
    options = parser.parse_args(arguments)
    figures = measure(options.count, options.max_mb)
    print(json.dumps(asdict(figures), indent=1))
    is_right = figures.once and figures.identical
    return 0 if is_right and figures.redis_bytes_max <= figures.bound_bytes else 1


def measure(count: int, max_mb: int) -> Figures:
    """So many through a Redis of its own that may use so much."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            state_dir=folder,
            local_redis_port=0,
            redis_memory_max_mb=max_mb,
            result_ttl_s=60,
            accepted_ttl_s=60,
            log_keep_seconds=0,
            backlog_max=512,
        )
        with redis_server(settings) as server:
            server.start(Signal())
            return drive(settings, Path(folder) / "archive", count)


if __name__ == "__main__":
    sys.exit(main())
