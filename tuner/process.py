"""The tuner's process: a try at every partition, each on a thread of its own.

Each partition has one active consumer, since its state is a fold and order matters; the others
stand by. A process with more partitions than another gives some away. Not here: leading (`leader`).
"""

import threading
from concurrent.futures import ThreadPoolExecutor

from shared.log import Log
from shared.settings import Settings
from tuner.adviser import make_adviser
from tuner.leader import Leader, Offices


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead or stand by until `stop`. Raises PriceBookError at once where there is none."""
    make_adviser(settings)
    log = Log(settings.redis_address, settings.partitions)
    offices = Offices(settings.lead_ttl_ms / 1_000)
    leaders = [Leader(settings, log, one, offices) for one in range(settings.partitions)]
    with ThreadPoolExecutor(len(leaders), thread_name_prefix="tuner") as threads:
        others = [threads.submit(_run_until, one, stop) for one in leaders[1:]]
        _run_until(leaders[0], stop)
    for one in others:
        one.result()  # raises what ended it
    log.close()


def _run_until(leader: Leader, stop: threading.Event) -> None:
    """A failure of our own ends this thread, `stop` the others, and the process with them."""
    try:
        leader.run(stop)
    finally:
        stop.set()
