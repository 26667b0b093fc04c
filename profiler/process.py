"""The profiler's process: one inbox and a pure stage."""

import threading

from profiler.stage import handle
from shared.redis_inbox import RedisInbox, make_consumer_name
from shared.runner import Stage, run as run_stage
from shared.settings import Settings
from shared.topology import EXECUTIONS


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`."""
    inbox = RedisInbox(
        settings.redis_address,
        EXECUTIONS,
        consumer=make_consumer_name("profiler"),
        partitions=settings.partitions,
        claim_idle_ms=settings.claim_idle_ms,
    )
    run_stage(Stage("profiler", handle, settings.attempts_max, settings.batch_max), inbox, stop)
