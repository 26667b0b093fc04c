"""The ingest process: receivers, lease keeper and settler, wired and run.

Not here: what each of them does. `build` is the only place of this stage that makes clients.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from ingest.keep import Keeper
from ingest.leases import Leases
from ingest.queue import Queue, QueueUnavailableError
from ingest.receive import Receiver
from ingest.settle import Settler
from shared.aws import make_client
from shared.aws_calls import count_calls
from shared.backoff import Backoff
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.open_inbox import open_inbox
from shared.redis_inbox import make_consumer_name
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS

STAGE = "ingest"
_BLOCK_MS = 500
_LOOKS_PER_TIMEOUT = 20  # of the keeper at its leases, in one visibility timeout


@dataclass(frozen=True, slots=True)
class Ingest:
    """The parts of one process."""

    receivers: tuple[Receiver, ...]
    keeper: Keeper
    settler: Settler
    dead_settler: Settler


def build(settings: Settings) -> Ingest:
    """The parts, for what the settings name. Nothing is called yet."""
    client = count_calls(make_client(settings, "sqs", connections=settings.receivers + 2), STAGE)
    queue = Queue(client, settings.queue_url, settings.visibility_timeout_s)
    log = Log(settings.redis_address, settings.partitions)
    leases = Leases(settings.visibility_timeout_s)
    published, dead = (
        open_inbox(settings, stream, make_consumer_name(STAGE)) for stream in (PUBLICATIONS, DEAD)
    )
    return Ingest(
        receivers=tuple(Receiver(queue, log, leases, settings) for _ in range(settings.receivers)),
        keeper=Keeper(leases, queue, log, settings.visibility_timeout_s),
        settler=Settler(published, queue, log, leases, settings),
        dead_settler=Settler(dead, queue, log, leases, settings),
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`, or until a thread of the process fails: then the failure is raised."""
    run_parts(build(settings), settings, stop)


def run_parts(ingest: Ingest, settings: Settings, stop: threading.Event) -> None:
    """Run the parts: all on threads of their own but the settler, which runs on this one."""
    pause_s = settings.visibility_timeout_s / _LOOKS_PER_TIMEOUT
    with ThreadPoolExecutor(len(ingest.receivers) + 2, thread_name_prefix=STAGE) as threads:
        others = [threads.submit(_receive_until, one, stop) for one in ingest.receivers]
        others.append(threads.submit(_keep_until, ingest.keeper, pause_s, stop))
        others.append(threads.submit(_settle_until, ingest.dead_settler, stop))
        _settle_until(ingest.settler, stop)
    for one in others:
        one.result()  # raises what ended it


def _receive_until(receiver: Receiver, stop: threading.Event) -> None:
    _repeat(lambda: receiver.run_once(stop), stop)
    with suppress(QueueUnavailableError):  # then they come back when their time is over
        receiver.hand_back()


def _keep_until(keeper: Keeper, pause_s: float, stop: threading.Event) -> None:
    def look() -> None:
        keeper.run_once(time.monotonic())
        stop.wait(pause_s)

    _repeat(look, stop)


def _settle_until(settler: Settler, stop: threading.Event) -> None:
    _repeat(lambda: settler.run_once(_BLOCK_MS), stop)
    settler.inbox.close()


def _repeat(step: Callable[[], object], stop: threading.Event) -> None:
    """Call `step` until `stop`; wait for what does not answer.

    Any other failure is ours: it ends this thread, `stop` ends the others, and the process with
    them, loudly.
    """
    redis, sqs = Backoff(STAGE, "redis"), Backoff(STAGE, "sqs")
    try:
        while not stop.is_set():
            try:
                step()
            except LogUnavailableError as error:
                redis.wait(stop, error)
            except QueueUnavailableError as error:
                redis.reset()
                sqs.wait(stop, error)
            else:
                redis.reset()
                sqs.reset()
    finally:
        stop.set()
