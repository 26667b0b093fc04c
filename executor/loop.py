"""The executor's loop: one thread carries every invocation from its delivery to its commit.

The path of a warm invocation: delivery -> idle sandbox -> readings, call -> answer, readings ->
commit. No thread, no Docker API and no S3 is on it. What blocks (code, starting and destroying
sandboxes, large outputs) goes to `background` and comes back as a continuation.

Not here: which sandbox is taken or evicted (`pool`), how events look (`invocation`), the sockets of
one sandbox (`seat`).
"""

import select
import time
from collections import deque
from heapq import heappop, heappush

from executor.background import Background
from executor.code_store import CodeStore
from executor.endings import crashed, init_failed, interpret_answer, timed_out
from executor.frames import ANSWER, READY, Frame, FrameError
from executor.invocation import Ending, Invocation, check_output, decide_limits, finish, fits, reject
from executor.launch import Launcher, Plan, Refused
from executor.pool import Decision, Pool, key_of
from executor.sandbox import Exit
from executor.seat import Seat, read_head
from shared import metrics
from shared.events import (
    Event,
    Failure,
    InvocationRejected,
    InvocationRequested,
    Outcome,
    SandboxStarted,
    Start,
    derive_event_id,
)
from shared.inbox import Delivery, Inbox
from shared.runner import take_event
from shared.settings import Settings
from shared.wire import wait_readable

STAGE = "executor"
INIT_MS_MIN = 10_000  # as on Lambda: init has ten seconds, or the function's time-out if longer
_IDLE_MS_MAX = 1_000
_EVENTS_MAX = 64


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


class Executor:
    """Runs invocations in sandboxes, as many at once as the pool allows."""

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        launcher: Launcher,
        code_store: CodeStore,
        background: Background,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._launcher = launcher
        self._code_store = code_store
        self._background = background
        self._pool: Pool[Seat] = Pool(settings.sandboxes_max, launcher.memory_mb_max)
        self._waiting: deque[tuple[Invocation, Plan | None]] = deque()
        self._deadlines: list[tuple[int, int, int, Seat]] = []
        self._seats: dict[int, Seat] = {}  # by both descriptors
        self._under_way = 0
        self._epoll = select.epoll()
        self._epoll.register(background.fileno(), select.EPOLLIN)

    @property
    def under_way(self) -> int:
        """Invocations received and not committed."""
        return self._under_way

    # -- one turn ----------------------------------------------------------------------------------

    def run_once(self, block_ms: int, *, draining: bool = False) -> int:
        """Receive what there is room for, or wait for a sandbox; returns how many ended."""
        under_way = self._under_way
        room = 0 if draining else max(self._settings.sandboxes_max - under_way, 0)
        deliveries = self._inbox.receive(room, self._block_ms(block_ms), self._epoll.fileno())
        for delivery in deliveries:
            self._begin(delivery)
        self.attend()
        return under_way + len(deliveries) - self._under_way

    def attend(self) -> None:
        """Serve the sandboxes and the continuations that are ready; never blocks."""
        ready = self._epoll.poll(0, _EVENTS_MAX)
        # Logs first: what was written before an answer belongs to it.
        controls = [fd for fd, _ in ready if not self._read_log(fd)]
        for descriptor in controls:
            seat = self._seats.get(descriptor)
            if seat is not None:
                self._read_control(seat)
        self._background.finish_done()
        self._end_overdue()

    def attend_for(self, seconds: float) -> None:
        """Serve the sandboxes for a while without the log: it does not answer."""
        wait_readable([self._epoll.fileno()], seconds)
        self.attend()

    def _block_ms(self, block_ms: int) -> int:
        if not self._deadlines:
            return min(block_ms, _IDLE_MS_MAX)
        left_ns = self._deadlines[0][0] - time.monotonic_ns()
        return max(0, min(block_ms, left_ns // 1_000_000 + 1))

    # -- beginning ---------------------------------------------------------------------------------

    def _begin(self, delivery: Delivery) -> None:
        event = take_event(STAGE, self._inbox, delivery, self._settings.attempts_max)
        match event:
            case None:
                return
            case InvocationRequested():
                self._under_way += 1
                entry_ms = int(delivery.entry_id.split("-", 1)[0])
                queued_us = max(time.time_ns() // 1_000 - entry_ms * 1_000, 0)
                self._place(Invocation(delivery, event, queued_us=queued_us))
            case InvocationRejected():
                self._under_way += 1
                self._reject(delivery, event, event.field, event.reason)
            case _:
                self._inbox.bury(delivery, f"{type(event).__name__} does not belong in requests")

    def _place(self, invocation: Invocation) -> None:
        """Give the invocation a warm sandbox, or look at its code first."""
        request = invocation.request
        stored = self._code_store.peek(request.code)
        if stored is not None:
            seat = self._pool.take(key_of(request, stored.sha256))
            if seat is not None:
                self._call(seat, invocation)
                return
        if request.memory_mb > self._launcher.memory_mb_max:
            reason = (
                f"is {request.memory_mb}; this host grants {self._launcher.memory_mb_max} MB to all "
                "sandboxes together (MEMORY_BUDGET_MB)"
            )
            self._reject(invocation.delivery, request, "memoryMb", reason)
            return
        limits = decide_limits(request, self._settings.cpu_policy, self._settings.cpu_fixed)
        self._launcher.fetch_code(invocation, limits, lambda got: self._code_came(invocation, got))

    def _code_came(self, invocation: Invocation, got: Plan | Refused) -> None:
        if isinstance(got, Refused):
            self._reject(invocation.delivery, invocation.request, got.field, got.reason)
            return
        self._start_or_wait(invocation, got)

    def _start_or_wait(self, invocation: Invocation, plan: Plan) -> None:
        seat = self._pool.take(plan.key)
        if seat is not None:
            self._launcher.release_code(plan)
            self._call(seat, invocation)
            return
        decision, evicted = self._pool.reserve(plan.limits.memory_mb)
        for old in evicted:
            self._dismiss(old, "evicted")
        if decision is Decision.WAIT:
            self._waiting.append((invocation, plan))
            return
        invocation.start = Start.COLD
        self._launcher.start(invocation, plan, lambda seat: self._started(invocation, seat))

    def _started(self, invocation: Invocation, seat: Seat) -> None:
        for descriptor in (seat.sandbox.control.fileno(), seat.sandbox.logs.fileno()):
            self._seats[descriptor] = seat
            self._epoll.register(descriptor, select.EPOLLIN)
        seat.send_init(invocation)
        self._set_deadline(seat, max(invocation.request.timeout_ms, INIT_MS_MIN))

    def _call(self, seat: Seat, invocation: Invocation) -> None:
        seat.send_call(invocation)
        self._set_deadline(seat, invocation.request.timeout_ms)

    def _set_deadline(self, seat: Seat, timeout_ms: int) -> None:
        at_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        heappush(self._deadlines, (at_ns, id(seat), seat.generation, seat))

    # -- what comes from sandboxes -----------------------------------------------------------------

    def _read_log(self, descriptor: int) -> bool:
        """Whether the descriptor is a log socket (or not a sandbox's at all)."""
        seat = self._seats.get(descriptor)
        if seat is None:
            return True
        if descriptor != seat.sandbox.logs.fileno():
            return False
        if not seat.read_logs():
            self._epoll.unregister(descriptor)
            del self._seats[descriptor]
        return True

    def _read_control(self, seat: Seat) -> None:
        try:
            frames = seat.read_frames()
            if frames is None:
                self._gone(seat)
                return
            for frame in frames:
                self._take_frame(seat, frame)
        except FrameError as error:
            self._broke_protocol(seat, str(error))

    def _take_frame(self, seat: Seat, frame: Frame) -> None:
        invocation = seat.invocation
        if invocation is None:
            raise FrameError("a frame without a call")
        run_us = (time.monotonic_ns() - invocation.called_at_ns) // 1_000
        match frame.kind:
            case kind if kind == READY and not seat.initialised:
                self._initialised(seat, invocation, frame, run_us)
            case kind if kind == ANSWER and seat.initialised:
                self._answered(seat, invocation, frame, run_us)
            case kind:
                raise FrameError(f"a frame {kind!r} out of turn")

    def _initialised(self, seat: Seat, invocation: Invocation, frame: Frame, run_us: int) -> None:
        invocation.init_us = run_us
        failure = read_head(frame).failure
        if failure is not None:
            logs, truncated = seat.take_log()
            ending = init_failed(failure.as_failure(), logs, truncated=truncated)
            self._end(seat, ending, destroy="init failed")
            return
        seat.initialised = True
        limits = seat.limits
        seat.sandbox.meter.limit_cpu(limits.cpu_quota_us, limits.cpu_period_us)
        self._call(seat, invocation)

    def _answered(self, seat: Seat, invocation: Invocation, frame: Frame, run_us: int) -> None:
        head = read_head(frame)
        if head.id != invocation.id:
            raise FrameError("an answer for another request id")
        readings = seat.read_meter(invocation)
        seat.read_logs()  # not before the readings: reading costs time, the peak does not wait
        logs, truncated = seat.take_log()
        failure = None if head.failure is None else head.failure.as_failure()
        unreadable = check_output(frame.body) if failure is None else None
        ending = interpret_answer(
            failure or unreadable,
            frame.body,
            readings,
            run_us=run_us,
            logs=logs,
            truncated=truncated,
            memory_mb=seat.limits.memory_mb,
        )
        healthy = unreadable is None and ending.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)
        leaving = failure is not None and failure.type == "Runtime.ExitError"
        reason = None if healthy and not leaving else ending.outcome.value
        self._end(seat, ending, destroy=reason)

    def _gone(self, seat: Seat) -> None:
        """The bootstrap's end of the socket closed: find out why, off the loop."""
        self._leave_loop(seat)
        if seat.invocation is None:
            if self._pool.remove_idle(seat):
                self._launcher.destroy(seat, "died while idle")
            return
        invocation = seat.invocation
        run_us = (time.monotonic_ns() - invocation.called_at_ns) // 1_000
        seat.generation += 1
        seat.read_logs()
        readings = seat.read_meter(invocation) if seat.initialised else None

        def explained(why: Exit) -> None:
            logs, truncated = seat.take_log()
            ending = crashed(
                why,
                readings,
                run_us=run_us if seat.initialised else 0,
                logs=logs,
                truncated=truncated,
                limits=seat.limits,
            )
            self._end(seat, ending, destroy=ending.outcome.value)

        self._background.submit(seat.sandbox.describe_exit, explained)

    def _broke_protocol(self, seat: Seat, reason: str) -> None:
        if seat.invocation is None:
            self._leave_loop(seat)
            if self._pool.remove_idle(seat):
                self._launcher.destroy(seat, "protocol")
            return
        logs, truncated = seat.take_log()
        ending = Ending(
            outcome=Outcome.CRASHED,
            failure=Failure(type="Sandbox.ProtocolViolation", message=f"The sandbox sent {reason}."),
            logs=logs,
            logs_truncated=truncated,
        )
        self._end(seat, ending, destroy="protocol")

    def _end_overdue(self) -> None:
        now = time.monotonic_ns()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, generation, seat = heappop(self._deadlines)
            invocation = seat.invocation
            if generation != seat.generation or invocation is None:
                continue
            run_us = (now - invocation.called_at_ns) // 1_000
            seat.read_logs()
            logs, truncated = seat.take_log()
            readings = seat.read_meter(invocation) if seat.initialised else None
            ending = timed_out(
                invocation.request.timeout_ms,
                readings,
                run_us=run_us if seat.initialised else 0,
                logs=logs,
                truncated=truncated,
            )
            self._end(seat, ending, destroy="timed_out")

    # -- ending ------------------------------------------------------------------------------------

    def _end(self, seat: Seat, ending: Ending, *, destroy: str | None) -> None:
        """Commit how the invocation ended and give the sandbox back, or destroy it."""
        invocation = seat.invocation
        assert invocation is not None
        seat.invocation = None
        seat.generation += 1
        if destroy is None:
            self._pool.give_back(seat.key, seat.limits.memory_mb, seat)
        else:
            self._leave_loop(seat)
            self._pool.forget(seat.limits.memory_mb)
            self._launcher.destroy(seat, destroy)
        self._commit(seat, invocation, ending)
        self._place_waiting()

    def _commit(self, seat: Seat, invocation: Invocation, ending: Ending) -> None:
        if len(ending.output) > self._settings.output_inline_bytes_max:
            self._launcher.upload_output(
                invocation.id, ending, lambda moved: self._commit(seat, invocation, moved)
            )
            return
        event = finish(
            invocation,
            ending,
            limits=seat.limits,
            worker_id=self._settings.worker,
            now_ms=now_ms(),
        )
        assert fits([event]), "the parts of an ending are bounded"
        outputs: list[Event] = [event]
        if invocation.start is Start.COLD:
            outputs.insert(0, self._started_event(seat, invocation))
        self._inbox.commit(invocation.delivery, outputs)
        self._under_way -= 1
        runtime = invocation.request.runtime.value
        metrics.JOBS_PROCESSED.labels(runtime, ending.outcome.value).inc()
        metrics.EVAL_DURATION.labels(runtime).observe(ending.run_us / 1e6)

    def _started_event(self, seat: Seat, invocation: Invocation) -> SandboxStarted:
        return SandboxStarted(
            event_id=derive_event_id(invocation.request.event_id, "SandboxStarted"),
            invocation_id=invocation.id,
            causation_id=invocation.request.event_id,
            occurred_at_ms=now_ms(),
            function_id=invocation.request.function_id,
            sandbox_id=seat.sandbox.id,
            worker_id=self._settings.worker,
            kind=self._launcher.kind,
            memory_mb=seat.limits.memory_mb,
            sandbox_us=invocation.sandbox_us,
            init_us=invocation.init_us,
        )

    def _reject(
        self,
        delivery: Delivery,
        request: InvocationRequested | InvocationRejected,
        field: str,
        reason: str,
    ) -> None:
        event = reject(
            request, delivery, field, reason, worker_id=self._settings.worker, now_ms=now_ms()
        )
        self._inbox.commit(delivery, (event,))
        self._under_way -= 1
        metrics.JOBS_PROCESSED.labels("none", Outcome.REJECTED.value).inc()

    def _place_waiting(self) -> None:
        """An ending made room: try those that wait, oldest first."""
        for _ in range(len(self._waiting)):
            invocation, plan = self._waiting.popleft()
            assert plan is not None
            self._start_or_wait(invocation, plan)

    # -- sandboxes leaving -------------------------------------------------------------------------

    def _dismiss(self, seat: Seat, reason: str) -> None:
        self._leave_loop(seat)
        self._launcher.destroy(seat, reason)

    def _leave_loop(self, seat: Seat) -> None:
        for descriptor in [fd for fd, other in self._seats.items() if other is seat]:
            del self._seats[descriptor]
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Destroy every sandbox. Invocations under way stay pending for another executor."""
        self._pool.drain()
        for seat in {id(seat): seat for seat in self._seats.values()}.values():
            self._dismiss(seat, "shutdown")
        self._background.close()
        self._epoll.close()


