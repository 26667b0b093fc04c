"""The executor's loop: one thread carries every invocation from its delivery to its commit.

The path of a warm invocation: delivery -> idle sandbox -> readings, call -> answer, readings ->
commit. No thread, no Docker API and no S3 is on it. What blocks (code, starting and destroying
sandboxes, large outputs) goes to `background` and comes back as a continuation.

Not here: where sandboxes come from (`supply`), the sockets of one sandbox (`seat`), what is waited
for (`watch`), how endings read (`endings`) and are committed (`ledger`).
"""

import time

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
from executor.nursery import Nursery
from executor.policy import choose_policy
from executor.pool import Pool, key_of
from executor.sandbox import Exit
from executor.seat import Seat, read_head
from executor.supply import Receivers, Supply
from executor.watch import Watch
from shared.events import InvocationRejected, InvocationRequested, Outcome
from shared.inbox import Delivery, Inbox
from shared.runner import take_event
from shared.settings import Settings

STAGE = "executor"
WAITING_MS = 10  # between two looks at what waits for a sandbox
INIT_MS_MIN = 10_000  # as on Lambda: init has ten seconds, or the function's time-out if longer
FREEZE_AFTER_MS = 100  # idle; a sandbox in steady use is not frozen and thawed at every call


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
        self.supply = Supply(
            Pool(
                settings.sandboxes_max,
                launcher.memory_mb_max,
                choose_policy(settings.pool_policy, prewarm=False),
            ),
            Nursery(settings.generic_sandboxes_max),
            launcher,
            background,
            Receivers(self._call, self._init, self._refuse, self._watch.leave),
        )

    @property
    def under_way(self) -> int:
        """Invocations received and not committed."""
        return self._ledger.under_way

    # -- one turn ----------------------------------------------------------------------------------

    def run_once(self, block_ms: int, *, draining: bool = False) -> int:
        """Receive what there is room for, or wait for a sandbox; returns how many ended."""
        under_way = self.under_way
        room = 0 if draining else max(self._settings.sandboxes_max - under_way, 0)
        if self.supply.is_waited_for:
            block_ms = min(block_ms, WAITING_MS)
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
            if seat.invocation is None:
                seat.freeze()
            else:
                self._end_overdue(seat)
        if self.supply.is_waited_for:
            self.supply.place_waiting()

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
        if stored is not None and request.reuse and request.input_s3 is None:
            seat = self.supply.take(key_of(request, stored.sha256))
            if seat is not None:
                self._call(seat, invocation)
                return
        refused = refuse(request, self._launcher.memory_mb_max)
        if refused is not None:
            self._refuse(invocation, refused)
            return
        limits = decide_limits(request, self._settings.cpu_policy, self._settings.cpu_fixed)
        plan = self._launcher.take_code(invocation, limits)
        if plan is not None:
            self.supply.provide(invocation, plan)
            return
        self._launcher.fetch_code(invocation, limits, lambda got: self._code_came(invocation, got))

    def _code_came(self, invocation: Invocation, got: Plan | Refused) -> None:
        if isinstance(got, Refused):
            self._refuse(invocation, got)
        else:
            self.supply.provide(invocation, got)

    def _refuse(self, invocation: Invocation, refused: Refused) -> None:
        self._ledger.reject(invocation.delivery, invocation.request, refused)

    def _init(self, seat: Seat, invocation: Invocation) -> None:
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
        self.supply.pool.record_cold(seat.key, (invocation.sandbox_us + invocation.init_us) / 1_000)
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
            self.supply.died_idle(seat)
            return
        left = seat.remains(seat.elapsed_us())

        def explained(why: Exit) -> None:
            ending = crashed(why, seat.limits, left)
            self._end(seat, ending, destroy=ending.outcome.value)

        self._background.submit(seat.sandbox.describe_exit, explained)

    def _broke_protocol(self, seat: Seat, reason: str) -> None:
        if seat.invocation is None:
            self._watch.leave(seat)
            self.supply.died_idle(seat)
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
        if destroy is None and not invocation.request.reuse:
            destroy = "run_once"
        if destroy is None:
            self.supply.give_back(seat)
            self._watch.set_deadline(seat, FREEZE_AFTER_MS)
        else:
            self.supply.discard(seat, destroy)
        self.supply.pool.record_run(seat.key, ending.run_us / 1_000)
        self._ledger.commit(seat, invocation, ending)
        if self.supply.is_waited_for:
            self.supply.place_waiting()

    def close(self) -> None:
        """Destroy every sandbox. Invocations under way stay pending for another executor."""
        self._background.stopping.set()
        for seat in self._watch.seats():
            self.supply.destroy(seat, "shutdown")
        self.supply.close()
        self._background.close()
        self._watch.close()
        self._launcher.close()
