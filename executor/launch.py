"""Getting a sandbox ready and rid of, on background threads: code, start, destroy.

The world's failures are waited for (`patience`), with the invocation still owned: S3 or the engine
may come back. Not here: which sandbox, when (`loop`, `pool`), what invocations move (`transfers`).
"""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from executor.background import Background
from executor.choose_channel import open_channel
from executor.code_store import CodeRejectedError, CodeStore, StoredCode
from executor.invocation import Invocation, Refused
from executor.log_spool import LogSpool
from executor.nursery import GenericKey
from executor.patience import Lane, Patience, ShuttingDownError
from executor.pool import PoolKey, key_of
from executor.programs import Programs, has_own_bootstrap
from executor.sandbox import (
    RuntimeMissingError,
    Sandbox,
    SandboxError,
    SandboxFactory,
    SandboxSpec,
)
from executor.seat import Seat
from executor.transfers import Transfers
from shared import metrics
from shared.events import (
    InvocationRequested,
    Limits,
    Readings,
    Runtime,
    SandboxStopped,
    derive_event_id,
)
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
    own_bootstrap: bool  # the archive has an executable that speaks the Runtime API


@dataclass(slots=True)
class Launcher:
    """Starts and destroys sandboxes for the loop."""

    _settings: Settings
    _factory: SandboxFactory
    _code_store: CodeStore
    _log: Log
    _background: Background
    transfers: Transfers
    _programs: Programs
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
                fetched = self._patience.persist("s3", lambda: self._code_store.fetch(request.code))
                code = self._prepare(request.runtime, fetched)
            except CodeRejectedError as error:
                return Refused(error.field, error.reason)
            except RuntimeMissingError as error:
                return Refused("runtime", str(error))
            invocation.code_us = (time.monotonic_ns() - began) // 1_000
            return _plan(request, limits, code)

        self._patience.submit(work, done)

    def take_code(self, invocation: Invocation, limits: Limits) -> Plan | None:
        """The same where nothing has to be waited for."""
        request = invocation.request
        taken = self._code_store.take(request.code)
        code = None if taken is None else self._programs.find(request.runtime, taken)
        metrics.CODE_LOOKUPS.labels("miss" if code is None else "hit").inc()
        if code is None:
            if taken is not None:
                self._code_store.release(taken)
            return None
        return _plan(request, limits, code)

    def start(
        self, invocation: Invocation, plan: Plan, done: Callable[[Seat | Refused], None]
    ) -> None:
        """A new sandbox, connected; or why this host cannot start it."""
        spec = self._specify(invocation.request, plan)

        def work() -> Seat | Refused:
            began = time.monotonic_ns()
            try:
                sandbox = self._patience.persist("sandbox", lambda: self._start(spec))
            except RuntimeMissingError as error:
                return Refused("runtime", str(error))
            invocation.sandbox_us = (time.monotonic_ns() - began) // 1_000
            return self._seat(sandbox, plan)

        self._patience.submit(work, done, lane=Lane.SLOW)

    def start_generic(self, key: GenericKey, done: Callable[[Sandbox | None], None]) -> None:
        """A new generic sandbox, frozen; None where none can be had now."""
        spec = SandboxSpec(
            runtime=key.runtime,
            limits=Limits(memory_mb=key.memory_mb, timeout_ms=0),
            network=key.network,
            own_bootstrap=key.own_bootstrap,
            tmp_mb=self._settings.tmp_mb,
            pids_max=self._settings.pids_max,
        )

        def work() -> Sandbox | None:
            try:
                sandbox = self._start(spec)
            except SandboxError as error:
                # Nobody waits for it: whoever needs a sandbox will find out and wait.
                log_event(LOG, "generic.failed", level=logging.WARNING, reason=error)
                return None
            sandbox.meter.freeze()
            return sandbox

        # Not by `_patience`: that a start failed must be known here.
        self._background.submit_slow(work, done)

    def adopt(
        self,
        generic: Sandbox,
        invocation: Invocation,
        plan: Plan,
        done: Callable[[Seat | None], None],
    ) -> None:
        """A generic sandbox becomes the function's; None where it cannot."""
        spec = self._specify(invocation.request, plan)

        def work() -> Seat | None:
            began = time.monotonic_ns()
            try:
                _check_alive(generic)
                generic.furnish(spec)
                generic.meter.thaw()
            except SandboxError as error:
                log_event(LOG, "generic.refused", level=logging.WARNING, reason=error)
                return None
            invocation.sandbox_us = (time.monotonic_ns() - began) // 1_000
            return self._seat(generic, plan)

        self._background.submit(work, done)

    def destroy_generic(self, sandbox: Sandbox, reason: str) -> None:
        """Remove a generic sandbox."""

        def work() -> None:
            sandbox.destroy()
            metrics.SANDBOX_STOPS.labels(reason).inc()

        self._background.submit_slow(work)

    def release_code(self, plan: Plan) -> None:
        """A plan that was not needed: a warm sandbox holds the same code."""
        self._code_store.release(plan.code)

    def destroy(self, seat: Seat, reason: str) -> None:
        """Remove a sandbox that left the loop and tell the log why.

        Its input ends when it is dead: it never sees the end of what was cut.
        """

        def work() -> None:
            seat.channel.close()
            readings = seat.read_since_answer()
            seat.sandbox.destroy()
            seat.log.close()
            if seat.stream is not None:
                self.transfers.stop(seat.stream)
            self._code_store.release(seat.code)
            metrics.SANDBOX_STOPS.labels(reason).inc()
            self._tell_stopped(seat.sandbox, reason, readings)

        self._background.submit_slow(work)

    def _prepare(self, runtime: Runtime, fetched: StoredCode) -> StoredCode:
        """The archive as it is run; sources are compiled. What cannot be run is let go."""
        try:
            return self._patience.persist(
                "sandbox", lambda: self._programs.prepare(runtime, fetched)
            )
        except (CodeRejectedError, RuntimeMissingError, ShuttingDownError):
            self._code_store.release(fetched)
            raise

    def _specify(self, request: InvocationRequested, plan: Plan) -> SandboxSpec:
        return SandboxSpec(
            function_id=request.function_id,
            runtime=request.runtime,
            handler=request.handler,
            code_dir=plan.code.path,
            code_sha256=plan.code.sha256,
            limits=plan.limits,
            network=request.network,
            env_vars=request.env_vars,
            own_bootstrap=plan.own_bootstrap,
            tmp_mb=self._settings.tmp_mb,
            pids_max=self._settings.pids_max,
        )

    def _start(self, spec: SandboxSpec) -> Sandbox:
        began = time.monotonic_ns()
        sandbox = self._factory.start(spec)
        metrics.SANDBOX_STARTS.labels(self._factory.kind, spec.runtime.value).inc()
        log_event(LOG, "sandbox.started", function_id=spec.function_id, sandbox=sandbox.id,
                  sandbox_us=(time.monotonic_ns() - began) // 1_000)  # fmt: skip
        return sandbox

    def _seat(self, sandbox: Sandbox, plan: Plan) -> Seat:
        return Seat(
            sandbox,
            open_channel(sandbox),
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

    def _tell_stopped(self, sandbox: Sandbox, reason: str, readings: Readings | None) -> None:
        event = SandboxStopped(
            event_id=derive_event_id(sandbox.id, "SandboxStopped"),
            invocation_id="",
            causation_id=sandbox.id,
            occurred_at_ms=time.time_ns() // 1_000_000,
            function_id=sandbox.spec.function_id,
            sandbox_id=sandbox.id,
            worker_id=self._settings.worker,
            reason=reason,
            readings=readings,
        )
        try:
            partition = self._log.partition_of(sandbox.spec.function_id)
            self._log.append(event, partition=partition)
        except LogUnavailableError as error:
            # A note for readers, not a step of any invocation: the pool is right without it.
            log_event(LOG, "sandbox.stop_untold", level=logging.WARNING, reason=error)


def _plan(request: InvocationRequested, limits: Limits, code: StoredCode) -> Plan:
    return Plan(key_of(request, code.sha256), limits, code, has_own_bootstrap(code.path))


def _check_alive(generic: Sandbox) -> None:
    """A bootstrap that is gone has hung up; a frozen one is silent."""
    try:
        said = generic.control.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return
    except ConnectionError:
        said = b""
    raise SandboxError("it spoke out of turn" if said else "its bootstrap is gone")
