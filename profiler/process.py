"""The profiler's process: one inbox and a pure stage."""

import threading
from collections import Counter
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


class Counting:
    """The pure stage at the edge: what it finds shows in the metrics, once a batch."""

    def __init__(self) -> None:
        self._cpu_us: Counter[str] = Counter()  # by runtime
        self._peak_bytes: dict[str, int] = {}

    def handle(self, event: Anything) -> Sequence[Event]:
        """As the stage."""
        outputs = handle(event)
        for output in outputs:
            if isinstance(output, InvocationProfiled) and output.execution.runtime is not None:
                runtime, profile = output.execution.runtime.value, output.profile
                cpu_us = profile.cpu_user_us + profile.cpu_system_us + profile.cpu_after_answer_us
                self._cpu_us[runtime] += cpu_us
                self._peak_bytes[runtime] = profile.memory_peak_bytes
        return outputs

    def tell(self) -> None:
        """Bring the metrics up to date."""
        for runtime, cpu_us in self._cpu_us.items():
            metrics.cpu_usage(runtime).inc(cpu_us / 1e6)
        for runtime, peak_bytes in self._peak_bytes.items():
            metrics.memory_peak(runtime).set(peak_bytes)
        self._cpu_us.clear()
        self._peak_bytes.clear()


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`."""
    inbox = open_inbox(settings, EXECUTIONS, make_consumer_name("profiler"))
    counting = Counting()
    stage = Stage(
        "profiler", counting.handle, settings.attempts_max, settings.batch_max, counting.tell
    )
    run_stage(stage, inbox, stop)
