"""Getting a sandbox ready and rid of, on background threads: code, start, destroy, large outputs.

The world's failures are waited for here, with the invocation still owned: S3 or the engine may
come back. Not here: which sandbox, when (`loop`, `pool`).
"""

import dataclasses
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from executor.background import Background
from executor.code_store import CodeRejectedError, CodeStore, CodeUnavailableError, StoredCode
from executor.invocation import Ending, Invocation, Refused
from executor.nursery import GenericKey
from executor.pool import PoolKey, key_of
from executor.sandbox import RuntimeMissingError, Sandbox, SandboxError, SandboxFactory, SandboxSpec
from executor.seat import Seat
from shared import metrics
from shared.backoff import Backoff
from shared.events import (
    InvocationRequested,
    Limits,
    Readings,
    S3Object,
    SandboxStopped,
    derive_event_id,
)
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.logging import log_event
from shared.settings import Settings

LOG = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a sandbox is started from."""

    key: PoolKey
    limits: Limits
    code: StoredCode


class ShuttingDownError(Exception):
    """The executor stops while something was waited for; the invocation stays pending."""


@dataclass(slots=True)
class Launcher:
    """Starts and destroys sandboxes for the loop."""

    _settings: Settings
    _factory: SandboxFactory
    _code_store: CodeStore
    _s3: Any  # boto3 makes its clients at run time
    _log: Log
    _background: Background
    memory_mb_max: int  # of all sandboxes together

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
                code = self._persist("s3", lambda: self._code_store.fetch(request.code))
            except CodeRejectedError as error:
                return Refused(error.field, error.reason)
            invocation.code_us = (time.monotonic_ns() - began) // 1_000
            return Plan(key_of(request, code.sha256), limits, code)

        self._submit(work, done)

    def take_code(self, invocation: Invocation, limits: Limits) -> Plan | None:
        """The same where nothing has to be waited for."""
        code = self._code_store.take(invocation.request.code)
        return None if code is None else Plan(key_of(invocation.request, code.sha256), limits, code)

    def start(
        self, invocation: Invocation, plan: Plan, done: Callable[[Seat | Refused], None]
    ) -> None:
        """A new sandbox, connected; or why this host cannot start it."""
        spec = self._specify(invocation.request, plan)

        def work() -> Seat | Refused:
            began = time.monotonic_ns()
            try:
                sandbox = self._persist("sandbox", lambda: self._start(spec))
            except RuntimeMissingError as error:
                return Refused("runtime", str(error))
            invocation.sandbox_us = (time.monotonic_ns() - began) // 1_000
            return self._seat(sandbox, plan)

        self._submit(work, done, slow=True)

    def start_generic(self, key: GenericKey, done: Callable[[Sandbox | None], None]) -> None:
        """A new generic sandbox, frozen; None where none can be had now."""
        spec = SandboxSpec(
            runtime=key.runtime,
            limits=Limits(memory_mb=key.memory_mb, timeout_ms=0),
            network=key.network,
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

        # Not by `_submit`: that a start failed must be known here.
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
        """Remove a sandbox that left the loop and tell the log why."""

        def work() -> None:
            readings = seat.read_since_answer()
            seat.sandbox.destroy()
            self._code_store.release(seat.code)
            metrics.SANDBOX_STOPS.labels(reason).inc()
            self._tell_stopped(seat.sandbox, reason, readings)

        self._background.submit_slow(work)

    def upload_output(
        self, request_id: str, ending: Ending, done: Callable[[Ending], None]
    ) -> None:
        """Move an output too large for an event to S3."""
        place = S3Object(bucket=self._settings.output_bucket, key=f"outputs/{request_id}.json")

        def put() -> None:
            metrics.S3_CALLS.labels("executor").inc()
            self._s3.put_object(
                Bucket=place.bucket,
                Key=place.key,
                Body=ending.output,
                ContentType="application/json",
            )

        def work() -> Ending:
            self._persist("s3", put)
            return dataclasses.replace(ending, output=b"null", output_s3=place)

        self._submit(work, done)

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
            tmp_mb=self._settings.tmp_mb,
            pids_max=self._settings.pids_max,
        )

    def _start(self, spec: SandboxSpec) -> Sandbox:
        began = time.monotonic_ns()
        sandbox = self._factory.start(spec)
        metrics.SANDBOX_STARTS.labels(self._factory.kind).inc()
        log_event(LOG, "sandbox.started", function_id=spec.function_id, sandbox=sandbox.id,
                  sandbox_us=(time.monotonic_ns() - began) // 1_000)  # fmt: skip
        return sandbox

    def _seat(self, sandbox: Sandbox, plan: Plan) -> Seat:
        return Seat(
            sandbox,
            plan.key,
            plan.limits,
            plan.code,
            logs_bytes_max=self._settings.logs_inline_bytes_max,
            region=self._settings.aws_region,
        )

    def _persist(self, dependency: str, call: Callable[[], T]) -> T:
        """Call until the world answers or the executor stops."""
        backoff = Backoff("executor", dependency)
        while True:
            try:
                result = call()
            except RuntimeMissingError:
                backoff.reset()
                raise
            except (CodeUnavailableError, SandboxError, BotoCoreError, ClientError) as error:
                backoff.wait(self._background.stopping, error)
                if self._background.stopping.is_set():
                    raise ShuttingDownError from error
            else:
                backoff.reset()
                return result

    def _submit(
        self, work: Callable[[], T], done: Callable[[T], None], *, slow: bool = False
    ) -> None:
        def guarded() -> T | None:
            try:
                return work()
            except ShuttingDownError:
                return None

        submit = self._background.submit_slow if slow else self._background.submit
        submit(guarded, lambda result: None if result is None else done(result))

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


def _check_alive(generic: Sandbox) -> None:
    """A bootstrap that is gone has hung up; a frozen one is silent."""
    try:
        said = generic.control.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return
    except ConnectionError:
        said = b""
    raise SandboxError("it spoke out of turn" if said else "its bootstrap is gone")
