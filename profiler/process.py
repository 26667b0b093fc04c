"""The profiler's process: one inbox and a pure stage."""

import threading
from collections.abc import Sequence

from profiler.stage import handle
from shared import metrics
from shared.events import Anything, Event, InvocationProfiled
from shared.open_inbox import open_inbox
from shared.redis_inbox import make_consumer_name
from shared.runner import Stage
from shared.runner import run as run_stage
from shared.settings import Settings
from shared.topology import EXECUTIONS


def handle_and_count(event: Anything) -> Sequence[Event]:
    """The pure stage; its effect on the metrics is here at the edge."""
    outputs = handle(event)
    for output in outputs:
        if isinstance(output, InvocationProfiled) and output.execution.runtime is not None:
            runtime, profile = output.execution.runtime.value, output.profile
            cpu_us = profile.cpu_user_us + profile.cpu_system_us + profile.cpu_after_answer_us
            metrics.cpu_usage(runtime).inc(cpu_us / 1e6)
            metrics.memory_peak(runtime).set(profile.memory_peak_bytes)
    return outputs


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`."""
    inbox = open_inbox(settings, EXECUTIONS, make_consumer_name("profiler"))
    run_stage(
        Stage("profiler", handle_and_count, settings.attempts_max, settings.batch_max), inbox, stop
    )
