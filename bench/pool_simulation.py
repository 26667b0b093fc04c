"""The warm pool on recorded arrivals: the executor's own Pool and policies, and a clock of events.

Not here: which policies, on what, and the table (`pool`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from bench.arrivals import Arrival
from executor.keep_alive import FOREVER_MS
from executor.pool import Decision, Pool, PoolKey


@dataclass(slots=True, eq=False)
class IdleSandbox:
    """A simulated sandbox; it is here since."""

    memory_mb: int
    since_ms: int = 0


@dataclass(slots=True)
class Simulation:
    """One replay. What happens before `count_from_ms` teaches the policy and is not counted."""

    pool: Pool[IdleSandbox]
    count_from_ms: int = 0
    invocations: Counter[str] = field(default_factory=Counter)
    cold: Counter[str] = field(default_factory=Counter)
    started: int = 0
    wasted_mb_ms: int = 0
    waited: int = 0
    _ends: list[tuple[int, int, PoolKey, IdleSandbox]] = field(default_factory=list)
    _serial: int = 0

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Replay all of them; what is idle then is wasted up to the last arrival."""
        now_ms = 0
        for arrival in arrivals:
            now_ms = max(now_ms, arrival.at_ms)
            self._pass_time(now_ms)
            now_ms = self._place(arrival, now_ms)
        self._pass_time(now_ms)
        for sandbox in self.pool.drain():
            self._leave(sandbox, now_ms)

    def _place(self, arrival: Arrival, now_ms: int) -> int:
        """Start the invocation; where there is no room, when the next ending makes some."""
        key = (arrival.function_id,)
        while True:
            sandbox = self.pool.take(key, now_ms)
            if sandbox is not None:
                self._leave(sandbox, now_ms)
                self._begin(arrival, key, sandbox, now_ms, cold=False)
                return now_ms
            decision, evicted = self.pool.reserve(key, arrival.memory_mb, now_ms)
            for old in evicted:
                self._leave(old, now_ms)
            if decision is Decision.START:
                self._begin(arrival, key, IdleSandbox(arrival.memory_mb), now_ms, cold=True)
                return now_ms
            self.waited += now_ms >= self.count_from_ms
            now_ms = self._ends[0][0]
            self._pass_time(now_ms)

    def _begin(
        self, arrival: Arrival, key: PoolKey, sandbox: IdleSandbox, now_ms: int, *, cold: bool
    ) -> None:
        run_ms = arrival.run_ms
        counted = now_ms >= self.count_from_ms
        if cold:
            run_ms += arrival.cold_ms
            self.pool.record_cold(key, arrival.cold_ms)
            self.cold[arrival.function_id] += counted
            self.started += counted
        self.invocations[arrival.function_id] += counted
        self._serial += 1
        heappush(self._ends, (now_ms + run_ms, self._serial, key, sandbox))

    def _pass_time(self, now_ms: int) -> None:
        """Everything that ends, expires or is started ahead until then, in its order."""
        while True:
            due_ms = self.pool.next_due_ms()
            end_ms = self._ends[0][0] if self._ends else FOREVER_MS
            if min(due_ms, end_ms) > now_ms:
                return
            if end_ms <= due_ms:
                _, _, key, sandbox = heappop(self._ends)
                sandbox.since_ms = end_ms
                self.pool.give_back(key, sandbox.memory_mb, sandbox, end_ms)
            else:
                self._take_due(due_ms)

    def _take_due(self, now_ms: int) -> None:
        due = self.pool.take_due(now_ms)
        for sandbox in due.expired:
            self._leave(sandbox, now_ms)
        for ahead in due.ahead:
            self.started += now_ms >= self.count_from_ms
            self.pool.add_ahead(ahead, IdleSandbox(ahead.memory_mb, now_ms))

    def _leave(self, sandbox: IdleSandbox, now_ms: int) -> None:
        """It is not idle any more."""
        since_ms = max(sandbox.since_ms, self.count_from_ms)
        self.wasted_mb_ms += sandbox.memory_mb * max(now_ms - since_ms, 0)
