"""Commits the executor's endings and counts what is under way.

Not here: how an ending is found (`loop`, `endings`), how its event looks (`invocation`).
"""

import time

from executor.invocation import Ending, Invocation, Refused, finish, reject
from executor.launch import Launcher
from executor.seat import Seat
from shared import metrics
from shared.events import (
    Event,
    InvocationRejected,
    InvocationRequested,
    Outcome,
    SandboxStarted,
    Start,
    derive_event_id,
)
from shared.inbox import Delivery, Inbox
from shared.settings import Settings


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Ledger:
    """Between an ending and the log."""

    def __init__(self, settings: Settings, inbox: Inbox, launcher: Launcher) -> None:
        self._worker_id = settings.worker
        self._inline_bytes_max = settings.output_inline_bytes_max
        self._inbox = inbox
        self._launcher = launcher
        self._handled_total = metrics.HANDLED.labels("executor")
        self._handled = 0  # not yet in the metrics
        self.under_way = 0  # invocations received and not committed

    def commit(self, seat: Seat, invocation: Invocation, ending: Ending) -> None:
        """Commit how an invocation ended; a large output or log is moved to S3 first."""
        if len(ending.output) > self._inline_bytes_max or ending.log_file is not None:
            transfers = self._launcher.transfers
            move = transfers.upload_output if ending.log_file is None else transfers.upload_log
            move(invocation.id, ending, lambda moved: self.commit(seat, invocation, moved))
            return
        event = finish(
            invocation,
            ending,
            limits=seat.limits,
            worker_id=self._worker_id,
            now_ms=_now_ms(),
        )
        outputs: list[Event] = [event]
        if invocation.start is Start.COLD:
            outputs.insert(0, self._tell_started(seat, invocation))
        self._inbox.commit(invocation.delivery, outputs)
        self._count()
        runtime = invocation.request.runtime.value
        metrics.jobs_processed(runtime, ending.outcome.value, invocation.kind_of_start).inc()
        metrics.eval_duration(runtime).observe(ending.run_us / 1e6)

    def reject(
        self,
        delivery: Delivery,
        request: InvocationRequested | InvocationRejected,
        refused: Refused,
    ) -> None:
        """Commit that the invocation never ran, and why."""
        event = reject(
            request,
            refused,
            attempt=delivery.attempt,
            worker_id=self._worker_id,
            now_ms=_now_ms(),
        )
        self._inbox.commit(delivery, (event,))
        self._count()
        metrics.jobs_processed("none", Outcome.REJECTED.value, Start.NONE.value).inc()

    def _count(self) -> None:
        self.under_way -= 1
        self._handled += 1

    def tell(self) -> None:
        """Bring the metrics up to date; once a turn, so that a batch costs one increment."""
        if self._handled:
            self._handled_total.inc(self._handled)
            self._handled = 0

    def _tell_started(self, seat: Seat, invocation: Invocation) -> SandboxStarted:
        request = invocation.request
        return SandboxStarted(
            event_id=derive_event_id(request.event_id, "SandboxStarted"),
            invocation_id=invocation.id,
            causation_id=request.event_id,
            occurred_at_ms=_now_ms(),
            function_id=request.function_id,
            sandbox_id=seat.sandbox.id,
            worker_id=self._worker_id,
            kind=self._launcher.kind,
            memory_mb=seat.limits.memory_mb,
            sandbox_us=invocation.sandbox_us,
            init_us=invocation.init_us,
        )
