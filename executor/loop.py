"""The executor's loop: one thread carries every invocation from its delivery to its commit.

The path of a warm invocation: delivery -> idle sandbox -> readings, call -> answer, readings ->
commit. No thread, no Docker API and no S3 is on it. What blocks (code, starting and destroying
sandboxes, large outputs) goes to `background` and comes back as a continuation.

Not here: which sandbox is taken or evicted (`pool`), the sockets of one sandbox (`seat`), what is
waited for (`watch`), how endings read (`endings`) and are committed (`ledger`).
"""

import time
from collections import deque

from executor.background import Background
from executor.code_store import CodeStore
from executor.endings import broke_protocol, crashed, interpret_answer, timed_out
from executor.frames import ANSWER, READY, Frame, FrameError
from executor.invocation import (
    Ending,
    Invocation,
    Refused,
    check_output,
    decide_limits,
    refuse,
)
from executor.launch import Launcher, Plan
from executor.ledger import Ledger
from executor.policy import choose_policy
from executor.pool import Decision, Pool, key_of
from executor.sandbox import Exit
from executor.seat import Seat, read_head
from executor.watch import Watch
from shared import metrics
from shared.events import InvocationRejected, InvocationRequested, Outcome, Start
from shared.inbox import Delivery, Inbox
from shared.runner import take_event
from shared.settings import Settings

STAGE = "executor"
INIT_MS_MIN = 10_000  # as on Lambda: init has ten seconds, or the function's time-out if longer


def _now_ms() -> int:
    """The pool's time: it never runs backwards."""
    return time.monotonic_ns() // 1_000_000


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
        self._ledger = Ledger(settings, inbox, launcher)
        self._watch = Watch(background)
        self._pool: Pool[Seat] = Pool(
            settings.sandboxes_max,
            launcher.memory_mb_max,
            choose_policy(settings.pool_policy, prewarm=False),
        )
        self._waiting: deque[tuple[Invocation, Plan]] = deque()

    @property
    def under_way(self) -> int:
        """Invocations received and not committed."""
        return self._ledger.under_way

    # -- one turn ----------------------------------------------------------------------------------

    def run_once(self, block_ms: int, *, draining: bool = False) -> int:
        """Receive what there is room for, or wait for a sandbox; returns how many ended."""
        under_way = self.under_way
        room = 0 if draining else max(self._settings.sandboxes_max - under_way, 0)
        block_ms = self._watch.decide_block_ms(block_ms)
        deliveries = self._inbox.receive(room, block_ms, self._watch.fileno())
        for delivery in deliveries:
            self._begin(delivery)
        self.attend()
        return under_way + len(deliveries) - self.under_way

    def attend(self) -> None:
        """Serve the sandboxes and the continuations that are ready; never blocks."""
        for seat in self._watch.take_ready():
            self._read_control(seat)
        self._background.finish_done()
        self._watch.sample_due()
        for seat in self._watch.take_overdue():
            self._end_overdue(seat)

    def attend_for(self, seconds: float) -> None:
        """Serve the sandboxes for a while without the log: it does not answer."""
        self._watch.wait(seconds)
        self.attend()

    # -- beginning ---------------------------------------------------------------------------------

    def _begin(self, delivery: Delivery) -> None:
        event = take_event(STAGE, self._inbox, delivery, self._settings.attempts_max)
        match event:
            case None:
                return
            case InvocationRequested():
                self._ledger.under_way += 1
                entry_ms = int(delivery.entry_id.split("-", 1)[0])
                queued_us = max(time.time_ns() // 1_000 - entry_ms * 1_000, 0)
                self._place(Invocation(delivery, event, queued_us=queued_us))
            case InvocationRejected():
                self._ledger.under_way += 1
                self._ledger.reject(delivery, event, Refused(event.field, event.reason))
            case _:
                self._inbox.bury(delivery, f"{type(event).__name__} does not belong in requests")

    def _place(self, invocation: Invocation) -> None:
        """Give the invocation a warm sandbox, or look at its code first."""
        request = invocation.request
        stored = self._code_store.peek(request.code)
        if stored is not None and request.input_s3 is None:
            seat = self._pool.take(key_of(request, stored.sha256), _now_ms())
            if seat is not None:
                self._call(seat, invocation)
                return
        refused = refuse(request, self._launcher.memory_mb_max)
        if refused is not None:
            self._ledger.reject(invocation.delivery, request, refused)
            return
        limits = decide_limits(request, self._settings.cpu_policy, self._settings.cpu_fixed)
        self._launcher.fetch_code(invocation, limits, lambda got: self._code_came(invocation, got))

    def _code_came(self, invocation: Invocation, got: Plan | Refused) -> None:
        if isinstance(got, Refused):
            self._ledger.reject(invocation.delivery, invocation.request, got)
            return
        self._start_or_wait(invocation, got)

    def _start_or_wait(self, invocation: Invocation, plan: Plan) -> None:
        seat = self._pool.take(plan.key, _now_ms())
        if seat is not None:
            self._launcher.release_code(plan)
            self._call(seat, invocation)
            return
        decision, evicted = self._pool.reserve(plan.key, plan.limits.memory_mb, _now_ms())
        for old in evicted:
            self._dismiss(old, "evicted")
        if decision is Decision.WAIT:
            self._waiting.append((invocation, plan))
            return
        invocation.start = Start.COLD
        self._launcher.start(invocation, plan, lambda got: self._start_ended(invocation, plan, got))

    def _start_ended(self, invocation: Invocation, plan: Plan, got: Seat | Refused) -> None:
        if isinstance(got, Refused):
            self._launcher.release_code(plan)
            self._pool.forget(plan.key, plan.limits.memory_mb, _now_ms())
            self._ledger.reject(invocation.delivery, invocation.request, got)
            self._place_waiting()
            return
        self._started(invocation, got)

    def _started(self, invocation: Invocation, seat: Seat) -> None:
        if self._background.stopping.is_set():
            self._launcher.destroy(seat, "shutdown")
            return
        self._watch.join(seat)
        seat.send_init(invocation)
        self._watch.set_deadline(seat, max(invocation.request.timeout_ms, INIT_MS_MIN))

    def _call(self, seat: Seat, invocation: Invocation) -> None:
        seat.send_call(invocation)
        self._watch.set_call(seat, invocation.request.timeout_ms)

    # -- what comes from sandboxes -----------------------------------------------------------------

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
        if frame.kind == ANSWER and seat.initialised:
            self._answered(seat, invocation, frame)
        elif frame.kind == READY and not seat.initialised:
            self._initialised(seat, invocation, frame)
        else:
            raise FrameError(f"a frame {frame.kind!r} out of turn")

    def _initialised(self, seat: Seat, invocation: Invocation, frame: Frame) -> None:
        invocation.init_us = seat.elapsed_us()
        failure = read_head(frame).failure
        if failure is not None:
            ending = seat.remains(0).end(Outcome.FAILED, failure.as_failure())
            self._end(seat, ending, destroy="init_failed")
            return
        seat.initialised = True
        self._pool.record_cold(seat.key, (invocation.sandbox_us + invocation.init_us) / 1_000)
        seat.limit_cpu()
        self._call(seat, invocation)

    def _answered(self, seat: Seat, invocation: Invocation, frame: Frame) -> None:
        run_us = seat.elapsed_us()
        head = read_head(frame)
        if head.id != invocation.id:
            raise FrameError("an answer for another request id")
        left = seat.remains(run_us)
        failure = None if head.failure is None else head.failure.as_failure()
        unreadable = check_output(frame.body) if failure is None else None
        ending = interpret_answer(failure or unreadable, frame.body, seat.limits, left)
        healthy = unreadable is None and ending.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)
        leaving = head.leaving or (failure is not None and failure.type == "Runtime.ExitError")
        self._end(seat, ending, destroy=None if healthy and not leaving else ending.outcome.value)

    def _gone(self, seat: Seat) -> None:
        """The bootstrap's end of the socket closed: find out why, off the loop."""
        self._watch.leave(seat)
        if seat.invocation is None:
            self._died_idle(seat)
            return
        seat.generation += 1  # its deadline no longer counts
        left = seat.remains(seat.elapsed_us())

        def explained(why: Exit) -> None:
            ending = crashed(why, seat.limits, left)
            self._end(seat, ending, destroy=ending.outcome.value)

        self._background.submit(seat.sandbox.describe_exit, explained)

    def _broke_protocol(self, seat: Seat, reason: str) -> None:
        if seat.invocation is None:
            self._watch.leave(seat)
            self._died_idle(seat)
            return
        ending = broke_protocol(reason, seat.remains(seat.elapsed_us()))
        self._end(seat, ending, destroy="protocol")

    def _end_overdue(self, seat: Seat) -> None:
        ending = timed_out(seat.limits, seat.remains(seat.elapsed_us()))
        self._end(seat, ending, destroy=ending.outcome.value)

    # -- ending ------------------------------------------------------------------------------------

    def _end(self, seat: Seat, ending: Ending, *, destroy: str | None) -> None:
        """Commit how the invocation ended and give the sandbox back, or destroy it."""
        invocation = seat.invocation
        assert invocation is not None, "an ending without an invocation"
        seat.invocation = None
        seat.generation += 1
        if destroy is None:
            self._pool.give_back(seat.key, seat.limits.memory_mb, seat, _now_ms())
        else:
            self._pool.forget(seat.key, seat.limits.memory_mb, _now_ms())
            self._dismiss(seat, destroy)
        self._ledger.commit(seat, invocation, ending)
        if self._waiting:
            self._place_waiting()

    def _place_waiting(self) -> None:
        """An ending made room: try those that wait, oldest first."""
        for _ in range(len(self._waiting)):
            self._start_or_wait(*self._waiting.popleft())

    def _died_idle(self, seat: Seat) -> None:
        if self._pool.remove_idle(seat):
            self._launcher.destroy(seat, "died_idle")

    def _dismiss(self, seat: Seat, reason: str) -> None:
        self._watch.leave(seat)
        self._launcher.destroy(seat, reason)

    def expire_idle(self) -> None:
        """Destroy the sandboxes that the policy keeps no longer; to be called once a second."""
        for seat in self._pool.take_due(_now_ms()).expired:
            self._dismiss(seat, "expired")

    def show_pool(self) -> None:
        """Bring the pool's metrics up to date."""
        metrics.SANDBOXES.labels("busy").set(self._pool.busy_count)
        metrics.SANDBOXES.labels("idle").set(self._pool.idle_count)

    def close(self) -> None:
        """Destroy every sandbox. Invocations under way stay pending for another executor."""
        self._background.stopping.set()
        for seat in self._watch.seats():
            self._dismiss(seat, "shutdown")
        self._background.close()
        self._watch.close()
        self._launcher.close()
