"""Getting a sandbox ready and rid of, on background threads: code, start, destroy.

The world's failures are waited for (`patience`), with the invocation still owned: S3 or the engine
may come back. Not here: which sandbox, when (`loop`, `pool`), what invocations move (`transfers`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from executor.background import Background
from executor.code_store import CodeRejectedError, CodeStore, StoredCode
from executor.invocation import Invocation, Refused
from executor.log_spool import LogSpool
from executor.patience import Patience
from executor.pool import PoolKey, key_of
from executor.sandbox import RuntimeMissingError, Sandbox, SandboxFactory, SandboxSpec
from executor.seat import Seat
from executor.transfers import Transfers
from shared import metrics
from shared.events import Limits, SandboxStopped, derive_event_id
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.settings import Settings

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a sandbox is started from."""

    key: PoolKey
    limits: Limits
    code: StoredCode


@dataclass(slots=True)
class Launcher:
    """Starts and destroys sandboxes for the loop."""

    _settings: Settings
    _factory: SandboxFactory
    _code_store: CodeStore
    _log: Log
    _background: Background
    transfers: Transfers
    memory_mb_max: int  # of all sandboxes together
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        """Wait with the background's threads."""
        self._patience = Patience(self._background)

    def close(self) -> None:
        """Let go of the state folder."""
        self._factory.close()

    @property
    def kind(self) -> str:
        """Of the sandboxes: docker or bubblewrap."""
        return self._factory.kind

    def fetch_code(
        self, invocation: Invocation, limits: Limits, done: Callable[[Plan | Refused], None]
    ) -> None:
        """The unpacked archive, fetched or looked at anew."""
        request = invocation.request

        def work() -> Plan | Refused:
            began = time.monotonic_ns()
            try:
                code = self._patience.persist("s3", lambda: self._code_store.fetch(request.code))
            except CodeRejectedError as error:
                return Refused(error.field, error.reason)
            invocation.code_us = (time.monotonic_ns() - began) // 1_000
            return Plan(key_of(request, code.sha256), limits, code)

        self._patience.submit(work, done)

    def start(
        self, invocation: Invocation, plan: Plan, done: Callable[[Seat | Refused], None]
    ) -> None:
        """A new sandbox, connected; or why this host cannot start it."""
        request = invocation.request
        spec = SandboxSpec(
            function_id=request.function_id,
            runtime=request.runtime,
            handler=request.handler,
            code_dir=plan.code.path,
            code_sha256=plan.code.sha256,
            limits=plan.limits,
            network=request.network,
            env_vars=request.env_vars,
            tmp_mb=self._settings.tmp_mb,
            pids_max=self._settings.pids_max,
        )

        def work() -> Seat | Refused:
            began = time.monotonic_ns()
            try:
                sandbox = self._patience.persist("sandbox", lambda: self._factory.start(spec))
            except RuntimeMissingError as error:
                return Refused("runtime", str(error))
            invocation.sandbox_us = (time.monotonic_ns() - began) // 1_000
            metrics.SANDBOX_STARTS.labels(self._factory.kind).inc()
            log_event(LOG, "sandbox.started", function_id=spec.function_id, sandbox=sandbox.id,
                      sandbox_us=invocation.sandbox_us)  # fmt: skip
            return Seat(
                sandbox,
                plan.key,
                plan.limits,
                plan.code,
                log=LogSpool(
                    sandbox.exchange.own,
                    self._settings.logs_inline_bytes_max,
                    self._settings.logs_bytes_max,
                ),
                region=self._settings.aws_region,
            )

        self._patience.submit(work, done)

    def release_code(self, plan: Plan) -> None:
        """A plan that was not needed: a warm sandbox holds the same code."""
        self._code_store.release(plan.code)

    def destroy(self, seat: Seat, reason: str) -> None:
        """Remove a sandbox that left the loop and tell the log why.

        Its input ends when it is dead: it never sees the end of what was cut.
        """

        def work() -> None:
            seat.sandbox.destroy()
            seat.log.close()
            if seat.stream is not None:
                self.transfers.stop(seat.stream)
            self._code_store.release(seat.code)
            metrics.SANDBOX_STOPS.labels(reason).inc()
            self._tell_stopped(seat.sandbox, reason)

        self._background.submit(work)

    def _tell_stopped(self, sandbox: Sandbox, reason: str) -> None:
        event = SandboxStopped(
            event_id=derive_event_id(sandbox.id, "SandboxStopped"),
            invocation_id="",
            causation_id=sandbox.id,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id=sandbox.spec.function_id,
            sandbox_id=sandbox.id,
            worker_id=self._settings.worker,
            reason=reason,
        )
        try:
            partition = self._log.partition_of(sandbox.spec.function_id)
            self._log.append(event, partition=partition)
        except LogUnavailableError as error:
            # A note for readers, not a step of any invocation: the pool is right without it.
            log_event(LOG, "sandbox.stop_untold", level=logging.WARNING, reason=error)
