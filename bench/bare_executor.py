"""An executor that calls the handler in its own process: no sandbox, no limit, no reading.

What isolation and measuring cost is the difference to it. Only for `bench`.
"""

import threading
import time
from collections.abc import Sequence

from cli.main import PROCESSES, main
from shared.events import (
    Anything,
    Event,
    Execution,
    InvocationFinished,
    InvocationRequested,
    Limits,
    Outcome,
    Phases,
    Start,
    derive_event_id,
)
from shared.redis_inbox import RedisInbox, make_consumer_name
from shared.runner import Stage
from shared.runner import run as run_stage
from shared.settings import Settings
from shared.topology import REQUESTS

_FIVE_MS = 0.005


def handle(event: Anything) -> Sequence[Event]:
    """Call the handler that `bench.warm` deploys."""
    assert isinstance(event, InvocationRequested)
    began_ns = time.perf_counter_ns()
    if event.function_id == "five_ms":
        time.sleep(_FIVE_MS)
    execution = Execution(
        function_id=event.function_id,
        outcome=Outcome.SUCCEEDED,
        requested_at_ms=event.occurred_at_ms,
        runtime=event.runtime,
        start=Start.WARM,
        limits=Limits(memory_mb=event.memory_mb, timeout_ms=event.timeout_ms),
        phases=Phases(run_us=max((time.perf_counter_ns() - began_ns) // 1_000, 1)),
    )
    return (
        InvocationFinished(
            event_id=derive_event_id(event.event_id, "InvocationFinished"),
            invocation_id=event.invocation_id,
            causation_id=event.event_id,
            occurred_at_ms=time.time_ns() // 1_000_000,
            execution=execution,
        ),
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`."""
    inbox = RedisInbox(settings, REQUESTS, make_consumer_name("executor"))
    run_stage(Stage("executor", handle), inbox, stop)


if __name__ == "__main__":
    PROCESSES["executor"] = "bench.bare_executor"
    main(["run", "executor"])
