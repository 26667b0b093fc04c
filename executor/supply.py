"""Gets invocations their sandboxes: a warm one, a generic one made the function's, or a new one.

Runs in the loop's thread; what blocks goes to `launch`. Not here: which sandbox is taken, kept or
evicted (`pool`), how many generic ones there are (`nursery`), what runs in them (`loop`).
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from executor.background import Background
from executor.invocation import Invocation, Refused
from executor.launch import Launcher, Plan
from executor.nursery import (
    GENERIC_MEMORY_MB,
    GenericKey,
    Nursery,
    generic_key_of,
)
from executor.pool import Decision, Pool, PoolKey
from executor.sandbox import Sandbox
from executor.seat import Seat
from shared import metrics
from shared.events import Network, Runtime, Start

_EXPECTED = GenericKey(Runtime.PYTHON, Network.EGRESS, GENERIC_MEMORY_MB)  # of the first call


def _now_ms() -> int:
    """The pool's time: it never runs backwards."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Receivers:
    """Who hears what becomes of an invocation that was to be supplied."""

    warm: Callable[[Seat, Invocation], None]
    started: Callable[[Seat, Invocation], None]  # to be initialised
    refused: Callable[[Invocation, Refused], None]
    dismissed: Callable[[Seat], None]  # an idle one is about to be destroyed


@dataclass(slots=True, eq=False)
class _Waiting:
    invocation: Invocation
    plan: Plan
    since_ms: int  # pushed on by a start that its waiting has bought
    asked_ms: int


@dataclass(slots=True)
class Supply:
    """The sandboxes of one executor."""

    pool: Pool[Seat]
    nursery: Nursery[Sandbox]
    _launcher: Launcher
    _background: Background
    _receivers: Receivers
    _waiting: deque[_Waiting] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Somebody will come."""
        self.nursery.expect(_EXPECTED, _now_ms())

    def take(self, key: PoolKey) -> Seat | None:
        """A warm sandbox; the whole way of a warm invocation through here."""
        return self.pool.take(key, _now_ms())

    def provide(self, invocation: Invocation, plan: Plan) -> None:
        """A sandbox as soon as there is one: `warm` or `started` hears of it, or `refused`."""
        now_ms = _now_ms()
        waiting = _Waiting(invocation, plan, now_ms, now_ms)
        if not self._place(waiting):
            self._waiting.append(waiting)

    def give_back(self, seat: Seat) -> None:
        """A healthy sandbox is idle again."""
        self.pool.give_back(seat.key, seat.limits.memory_mb, seat, _now_ms())

    def discard(self, seat: Seat, reason: str) -> None:
        """A sandbox that served an invocation serves no more."""
        self.pool.forget(seat.key, seat.limits.memory_mb, _now_ms())
        self.destroy(seat, reason)

    def died_idle(self, seat: Seat) -> None:
        """An idle sandbox hung up."""
        if self.pool.remove_idle(seat):
            self.destroy(seat, "died_idle")

    def destroy(self, seat: Seat, reason: str) -> None:
        """Remove a sandbox that is out of the pool's books."""
        self._receivers.dismissed(seat)
        self._launcher.destroy(seat, reason)

    @property
    def is_calm(self) -> bool:
        """Generic sandboxes are short, and `end_calm` wants to be called soon."""
        return self.nursery.calm_until_ms > 0

    def end_calm(self) -> None:
        """Start what was not started so as not to disturb a first call."""
        if _now_ms() >= self.nursery.calm_until_ms:
            self.nursery.calm_until_ms = 0
            self._start_generics()

    @property
    def is_waited_for(self) -> bool:
        """Some invocation waits: `place_waiting` wants to be called soon."""
        return bool(self._waiting)

    def place_waiting(self) -> None:
        """Try those that wait, oldest first: an ending made room, or they have waited enough."""
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if self._place(waiting):
                metrics.SANDBOX_WAIT.inc((_now_ms() - waiting.asked_ms) / 1_000)
            else:
                self._waiting.append(waiting)

    def tend(self) -> None:
        """Destroy what is kept no longer, start what will be needed; once a second."""
        for seat in self.pool.take_due(_now_ms()).expired:
            self.destroy(seat, "expired")
        for generic in self.nursery.take_surplus(_now_ms()):
            self._launcher.destroy_generic(generic, "expired")
        self._start_generics()

    @property
    def waiting_count(self) -> int:
        """How many invocations wait for a sandbox to become free."""
        return len(self._waiting)

    def close(self) -> None:
        """Destroy the generic sandboxes; those of functions are the loop's to end."""
        for generic in self.nursery.drain():
            self._launcher.destroy_generic(generic, "shutdown")

    # -- starting ----------------------------------------------------------------------------------

    def _place(self, waiting: _Waiting) -> bool:
        """Give it a warm sandbox or start one; False where it has to wait."""
        invocation, plan, now_ms = waiting.invocation, waiting.plan, _now_ms()
        seat = self.take(plan.key) if invocation.request.reuse else None
        if seat is None:
            return self._try_start(waiting, now_ms)
        self.pool.record_wait(plan.key, now_ms - waiting.since_ms)
        self._launcher.release_code(plan)
        self._receivers.warm(seat, invocation)
        return True

    def _try_start(self, waiting: _Waiting, now_ms: int) -> bool:
        """Start a sandbox, unless there is no room or one will be free sooner."""
        invocation, plan = waiting.invocation, waiting.plan
        alike = [other for other in self._waiting if other.plan.key == plan.key]
        waited_ms: float = sum(now_ms - one.since_ms for one in (waiting, *alike))
        if not invocation.request.reuse:
            waited_ms = math.inf  # no busy one will ever be free for it
        decision, evicted = self.pool.reserve(plan.key, plan.limits.memory_mb, now_ms, waited_ms)
        for old in evicted:
            self.destroy(old, "evicted")
        if decision is Decision.WAIT:
            return False
        for other in alike:
            other.since_ms = now_ms  # what was waited so far has bought this start
        self._start(invocation, plan)
        return True

    def _start(self, invocation: Invocation, plan: Plan) -> None:
        invocation.start = Start.COLD
        key = generic_key_of(invocation.request, own_bootstrap=plan.own_bootstrap)
        generic = self.nursery.take(key, _now_ms())
        for other in self.nursery.give_up(-self._memory_mb_left(), key):
            self._launcher.destroy_generic(other, "evicted")
        if generic is None:
            self._start_own(invocation, plan)
        else:
            self._launcher.adopt(
                generic, invocation, plan, lambda got: self._adopted(generic, invocation, plan, got)
            )
        self._start_generics()

    def _start_own(self, invocation: Invocation, plan: Plan) -> None:
        self._launcher.start(invocation, plan, lambda got: self._start_ended(invocation, plan, got))

    def _adopted(
        self, generic: Sandbox, invocation: Invocation, plan: Plan, got: Seat | None
    ) -> None:
        if got is None:
            self._launcher.destroy_generic(generic, "refused")
            self._start_own(invocation, plan)
        else:
            invocation.adopted = True
            self._started(invocation, got)

    def _start_ended(self, invocation: Invocation, plan: Plan, got: Seat | Refused) -> None:
        if isinstance(got, Refused):
            self._launcher.release_code(plan)
            self.pool.forget(plan.key, plan.limits.memory_mb, _now_ms())
            self._receivers.refused(invocation, got)
            self.place_waiting()
        else:
            self._started(invocation, got)
        self._start_generics()

    def _started(self, invocation: Invocation, seat: Seat) -> None:
        if self._background.stopping.is_set():
            self._launcher.destroy(seat, "shutdown")
        else:
            self._receivers.started(seat, invocation)

    # -- generic sandboxes -------------------------------------------------------------------------

    def _memory_mb_left(self) -> int:
        """Of the budget; negative where generic sandboxes are in the way of a function's."""
        return self.pool.memory_mb_max - self.pool.memory_mb - self.nursery.memory_mb

    def _start_generics(self) -> None:
        """Start those that are short, while nobody waits for the processors."""
        while self._background.has_slow_room and not self._background.stopping.is_set():
            key = self.nursery.decide_start(_now_ms(), self._memory_mb_left())
            if key is None:
                return
            self._launcher.start_generic(key, partial(self._generic_came, key))

    def _generic_came(self, key: GenericKey, got: Sandbox | None) -> None:
        if got is not None and not self._background.stopping.is_set():
            self.nursery.add(key, got)
            self._start_generics()
            return
        self.nursery.fail(key)
        if got is not None:
            self._launcher.destroy_generic(got, "shutdown")
