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
from executor.hand_over import HandOver, Ways
from executor.input_stream import InputStream
from executor.invocation import (
    Ending,
    Invocation,
    Refused,
    check_output,
    decide_limits,
    fit_to_host,
    refuse,
)
from executor.launch import Launcher, Plan
from executor.ledger import Ledger
from executor.nursery import CALM_MS, Nursery
from executor.output_guard import INTERVAL_MS, OutputGuard, Overfull
from executor.parting import Partings
from executor.policy import choose_policy
from executor.pool import Pool, key_of
from executor.rest import Rests
from executor.sandbox import Exit
from executor.seat import Seat, read_head
from executor.supply import Receivers, Supply
from executor.transfers import fail_too_large
from executor.watch import Watch
from shared import metrics
from shared.events import (
    Failure,
    InvocationRejected,
    InvocationRequested,
    Outcome,
    S3Object,
)
from shared.inbox import Delivery, Inbox
from shared.offers import Offers
from shared.runner import take_event
from shared.settings import Settings

STAGE = "executor"
WAITING_MS = 10  # between two looks at what waits for a sandbox
INIT_MS_MIN = 10_000  # as on Lambda: init has ten seconds, or the function's time-out if longer


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
        self._transfers = launcher.transfers
        self._partings = Partings(self.supply, self._watch, self._ledger, self._transfers)
        self._rests = Rests(background)
        self._guard = OutputGuard(settings, background, self._overfilled)
        ways = Ways(self._place, self._let_go, self._take_over, self._has_idle, self._list_warm)
        offers = Offers(settings.redis_address)  # connects when there is something to tell
        self._hand_over = HandOver(inbox.consumer, offers, background, ways)
        self._draining = False

    @property
    def under_way(self) -> int:
        """Invocations received and not committed."""
        return self._ledger.under_way + self._hand_over.taking

    def meet_neighbours(self) -> None:
        """Share work with other executors by what each has warm."""
        self._hand_over.start()

    # -- one turn ----------------------------------------------------------------------------------

    def run_once(self, block_ms: int, *, draining: bool = False) -> int:
        """Receive what there is room for, or wait for a sandbox; returns how many ended."""
        under_way = self.under_way
        self._draining = draining
        room = 0 if draining else max(self._settings.sandboxes_max - under_way, 0)
        if self.supply.is_waited_for or self._hand_over.is_waited_for:
            block_ms = min(block_ms, WAITING_MS)
        elif self.supply.is_calm:
            block_ms = min(block_ms, CALM_MS)
        elif under_way:
            block_ms = min(block_ms, INTERVAL_MS)
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
        self._hand_over.attend()
        self._watch.sample_due()
        for seat in self._watch.take_overdue():
            if seat.settles:
                self._partings.settle_overdue(seat)
            elif seat.invocation is None:
                self._rests.begin(seat)
            else:
                self._end_overdue(seat)
        if self.supply.is_waited_for:
            self.supply.place_waiting()
        if self.supply.is_calm:
            self.supply.end_calm()
        self._guard.look(self._watch.seats)
        self._ledger.tell()

    def attend_for(self, seconds: float) -> None:
        """Serve the sandboxes for a while without the log: it does not answer."""
        self._watch.wait(seconds)
        self.attend()

    # -- beginning ---------------------------------------------------------------------------------

    def _begin(self, delivery: Delivery, *, offered: bool = False) -> None:
        event = take_event(STAGE, self._inbox, delivery, self._settings.attempts_max)
        match event:
            case None:
                return
            case InvocationRequested():
                self._ledger.under_way += 1
                entry_ms = int(delivery.entry_id.split("-", 1)[0])
                queued_us = max(time.time_ns() // 1_000 - entry_ms * 1_000, 0)
                request = fit_to_host(event, self._launcher.memory_mb_max)
                self._place(Invocation(delivery, request, queued_us=queued_us, offered=offered))
            case InvocationRejected():
                self._ledger.under_way += 1
                self._ledger.reject(delivery, event, Refused(event.field, event.reason))
            case _:
                self._inbox.bury(delivery, f"{type(event).__name__} does not belong in requests")

    def _place(self, invocation: Invocation) -> None:
        """Give the invocation a warm sandbox, or look at its input and code first."""
        request = invocation.request
        if request.input_s3 is not None and invocation.input is None:
            self._open_input(invocation, request.input_s3)
            return
        stored = self._code_store.peek(request.code)
        if stored is not None and request.reuse:
            seat = self.supply.take(key_of(request, stored.sha256))
            if seat is not None:
                self._call(seat, invocation)
                return
        if self._hand_over.offer(invocation):
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

    def _take_over(self, delivery: Delivery) -> None:
        """Another executor left it to us."""
        self._inbox.adopt(delivery)
        self._begin(delivery, offered=True)

    def _let_go(self, invocation: Invocation) -> None:
        """Another executor has it."""
        self._inbox.forget(invocation.delivery)
        self._ledger.under_way -= 1

    def _has_idle(self, function_id: str) -> bool:
        room = self._settings.sandboxes_max - self.under_way
        return room > 0 and not self._draining and self.supply.pool.has_idle(function_id)

    def _list_warm(self) -> set[str]:
        return set() if self._draining else self.supply.pool.list_functions()

    def _open_input(self, invocation: Invocation, place: S3Object) -> None:
        began_ns = time.monotonic_ns()

        def opened(got: InputStream | Refused) -> None:
            if isinstance(got, Refused):
                self._refuse(invocation, got)
                return
            invocation.input_us = (time.monotonic_ns() - began_ns) // 1_000
            invocation.input = got
            self._place(invocation)

        self._transfers.open_input(place, opened)

    def _code_came(self, invocation: Invocation, got: Plan | Refused) -> None:
        if isinstance(got, Refused):
            self._refuse(invocation, got)
        else:
            self.supply.provide(invocation, got)

    def _init(self, seat: Seat, invocation: Invocation) -> None:
        self._watch.join(seat)
        seat.send_init(invocation)
        self._watch.set_deadline(seat, max(invocation.request.timeout_ms, INIT_MS_MIN))

    def _refuse(self, invocation: Invocation, refused: Refused) -> None:
        if invocation.input is not None:
            self._transfers.stop(invocation.input)
        self._ledger.reject(invocation.delivery, invocation.request, refused)

    def _call(self, seat: Seat, invocation: Invocation) -> None:
        if invocation.input is not None:
            self._feed(seat, invocation, invocation.input)
        seat.send_call(invocation)
        self._watch.set_call(seat, invocation.request.timeout_ms)

    def _feed(self, seat: Seat, invocation: Invocation, stream: InputStream) -> None:
        def failed(failure: Failure) -> None:
            if seat.invocation is invocation and not seat.hung_up:
                ending = seat.remains(seat.elapsed_us()).end(Outcome.FAILED, failure)
                self._end(seat, ending, destroy="input_failed")

        seat.stream = stream
        stream.begin(seat.sandbox.exchange.run)
        self._transfers.feed(stream, failed)

    # -- what comes from sandboxes -----------------------------------------------------------------

    def _read_control(self, seat: Seat) -> None:
        try:
            frames = seat.channel.receive()
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
            if frame.kind != READY or not seat.settles:
                raise FrameError("a frame without a call")
            self._partings.settled(seat)
            return
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
        self._hand_over.announce(invocation.request.function_id)
        start_us = invocation.sandbox_us + invocation.init_us
        self.supply.pool.record_cold(seat.key, start_us / 1_000)
        runtime = invocation.request.runtime.value
        start_duration = metrics.START_DURATION.labels(runtime, invocation.kind_of_start)
        start_duration.observe(start_us / 1e6)
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
        seat.hung_up = True
        if seat.invocation is None:
            self._partings.died_idle(seat)
            return
        left = seat.remains(seat.elapsed_us())

        def explained(why: Exit) -> None:
            ending = crashed(why, seat.limits, left)
            self._end(seat, ending, destroy=ending.outcome.value)

        self._background.submit(seat.sandbox.describe_exit, explained)

    def _broke_protocol(self, seat: Seat, reason: str) -> None:
        if seat.invocation is None:
            self._watch.leave(seat)
            self._partings.died_idle(seat)
            return
        ending = broke_protocol(reason, seat.remains(seat.elapsed_us()))
        self._end(seat, ending, destroy="protocol")

    def _end_overdue(self, seat: Seat) -> None:
        invocation = seat.invocation
        stream = None if invocation is None else invocation.input
        why = "" if stream is None else stream.describe_wait()
        ending = timed_out(seat.limits, seat.remains(seat.elapsed_us()), why)
        self._end(seat, ending, destroy=ending.outcome.value)

    def _overfilled(self, overfull: Overfull) -> None:
        seat = overfull.seat
        if seat.invocation is None or seat.generation != overfull.generation:
            return
        left = seat.remains(seat.elapsed_us())
        ending = fail_too_large(left.end(Outcome.FAILED, None), overfull.reason)
        self._end(seat, ending, destroy="output_files")

    # -- ending ------------------------------------------------------------------------------------

    def _end(self, seat: Seat, ending: Ending, *, destroy: str | None) -> None:
        """The invocation and its sandbox part; `destroy` says why this one serves no more."""
        self._partings.begin(seat, ending, destroy)

    def close(self) -> None:
        """Destroy every sandbox. Invocations under way stay pending for another executor."""
        self._hand_over.close()
        self._background.stopping.set()
        for seat in self._watch.seats():
            self.supply.destroy(seat, "shutdown")
        self.supply.close()
        self._transfers.close()
        self._background.close()
        self._watch.close()
        self._launcher.close()
