"""The ingest process: receivers, lease keeper and settlers, wired and run.

Not here: what each of them does. `build` is the only place of this stage that makes clients.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from ingest.adopt import Adopter
from ingest.inspect_queue import Inspector
from ingest.keep import Keeper
from ingest.leases import Leases
from ingest.memory_room import MemoryRoom, RedisFullError
from ingest.queue import Queue
from ingest.queue_errors import DEPENDENCIES, QueueUnavailableError
from ingest.receive import Receiver
from ingest.settle import Settler
from ingest.take import Taker, make_desk
from ingest.usher import LOOK_S, Usher
from shared.aws import make_client
from shared.aws_calls import count_calls
from shared.backoff import Backoff
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.open_inbox import open_inbox
from shared.redis_inbox import make_consumer_name
from shared.retention import Retention
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS

STAGE = "ingest"
_BLOCK_MS = 500
_LOOKS_PER_TIMEOUT = 20  # of the keeper at its leases, in one visibility timeout
_INSPECT_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Ingest:
    """The parts of one process."""

    receivers: tuple[Receiver, ...]
    keeper: Keeper
    settler: Settler
    dead_settler: Settler
    usher: Usher | None = None  # of a FIFO queue
    adopter: Adopter | None = None
    inspector: Inspector | None = None


def build(settings: Settings) -> Ingest:
    """The parts, for what the settings name. Nothing is called yet."""
    client = count_calls(make_client(settings, "sqs", connections=settings.receivers + 4), STAGE)
    queue = Queue(client, settings.queue_url, settings.visibility_timeout_s)
    log = Log(settings.redis_address, settings.partitions)
    leases = Leases(settings.visibility_timeout_s)
    desk = make_desk(queue, log, leases, settings)
    published, dead = (
        open_inbox(settings, stream, make_consumer_name(STAGE)) for stream in (PUBLICATIONS, DEAD)
    )
    return Ingest(
        receivers=tuple(
            Receiver(Taker(desk), MemoryRoom(Retention(settings.redis_address)))
            for _ in range(settings.receivers)
        ),
        keeper=Keeper(leases, queue, log, settings.visibility_timeout_s),
        settler=Settler(published, queue, log, leases, settings),
        dead_settler=Settler(dead, queue, log, leases, settings),
        usher=Usher(Taker(desk)) if queue.is_fifo else None,
        adopter=Adopter(log, leases),
        inspector=Inspector(queue, settings),
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`, or until a thread of the process fails: then the failure is raised."""
    run_parts(build(settings), settings, stop)


def run_parts(ingest: Ingest, settings: Settings, stop: threading.Event) -> None:
    """Run the parts: all on threads of their own but the settler, which runs on this one."""
    pause_s = settings.visibility_timeout_s / _LOOKS_PER_TIMEOUT
    with ThreadPoolExecutor(len(ingest.receivers) + 4, thread_name_prefix=STAGE) as threads:
        others = [threads.submit(_receive_until, one, stop) for one in ingest.receivers]
        others.append(threads.submit(_keep_until, ingest, pause_s, stop))
        others.append(threads.submit(_settle_until, ingest.dead_settler, stop))
        if ingest.usher is not None:
            others.append(threads.submit(_usher_until, ingest.usher, stop))
        if ingest.inspector is not None:
            others.append(threads.submit(_inspect_until, ingest.inspector, stop))
        _settle_until(ingest.settler, stop)
    for one in others:
        one.result()  # raises what ended it


def _receive_until(receiver: Receiver, stop: threading.Event) -> None:
    _repeat(lambda: receiver.run_once(stop), stop)
    with suppress(QueueUnavailableError):  # then they come back when their time is over
        receiver.hand_back()


def _usher_until(usher: Usher, stop: threading.Event) -> None:
    def look() -> None:
        if not usher.run_once():
            stop.wait(LOOK_S)

    _repeat(look, stop)
    with suppress(QueueUnavailableError):
        usher.hand_back()


def _keep_until(ingest: Ingest, pause_s: float, stop: threading.Event) -> None:
    def look() -> None:
        if ingest.adopter is not None and not ingest.adopter.done:
            with suppress(LogUnavailableError):  # tried again at the next look
                ingest.adopter.run_once(time.monotonic())
        ingest.keeper.run_once(time.monotonic())
        stop.wait(pause_s)

    _repeat(look, stop)


def _inspect_until(inspector: Inspector, stop: threading.Event) -> None:
    """Once; a queue that is not there yet is looked at when it is."""
    while not stop.is_set():
        try:
            inspector.run_once()
        except QueueUnavailableError:  # the receivers say so
            stop.wait(_INSPECT_AGAIN_S)
        else:
            return


def _settle_until(settler: Settler, stop: threading.Event) -> None:
    _repeat(lambda: settler.run_once(_BLOCK_MS), stop)
    settler.inbox.close()


def _repeat(step: Callable[[], object], stop: threading.Event) -> None:
    """Call `step` until `stop`; wait for what does not answer.

    Any other failure is ours: it ends this thread, `stop` ends the others, and the process with
    them, loudly.
    """
    backoffs = {name: Backoff(STAGE, name) for name in ("redis", "redis_memory", *DEPENDENCIES)}
    try:
        while not stop.is_set():
            absent = ""
            try:
                step()
            except (LogUnavailableError, RedisFullError, QueueUnavailableError) as error:
                absent, problem = _name_dependency(error), error
            for name, backoff in backoffs.items():
                # Without an answer of Redis nothing is known of the others.
                if absent not in (name, "redis"):
                    backoff.reset()
            if absent:
                backoffs[absent].wait(stop, problem)
    finally:
        stop.set()


def _name_dependency(error: Exception) -> str:
    match error:
        case QueueUnavailableError():
            return error.dependency
        case RedisFullError():
            return "redis_memory"
        case _:
            return "redis"
