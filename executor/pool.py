"""The warm pool: which sandbox serves an invocation, which one has to go. Decides; touches nothing.

A sandbox never serves two functions: idle ones are kept under the key of everything that makes
them different. For how long, and which one goes first, is the policy's. Starting and destroying is
done by whoever asks: the executor's loop, or the simulation in `bench`. No clock: `now_ms` is any
that does not run backwards.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from executor.arrivals import Arrivals, FunctionArrivals, Release
from executor.keep_alive import FOREVER_MS, conclude_window
from executor.policy import Policy
from shared.events import InvocationRequested

PoolKey = tuple[object, ...]
S = TypeVar("S")

SUPERSEDED_MS = 60_000
_OLD_EXPIRIES_MAX = 64


class Decision(StrEnum):
    """What to do for an invocation that needs a sandbox."""

    START = "start"
    WAIT = "wait"


def key_of(request: InvocationRequested, code_sha256: str) -> PoolKey:
    """What two invocations must share to share a sandbox."""
    return (
        request.function_id,
        code_sha256,
        request.runtime,
        request.handler,
        request.memory_mb,
        request.network,
        tuple(sorted(request.env_vars.items())),
    )


@dataclass(frozen=True, slots=True)
class Ahead:
    """A sandbox to start before it is needed; its memory is reserved already."""

    key: PoolKey
    memory_mb: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Due(Generic[S]):
    """What time alone brings about: idle sandboxes to destroy, others to start ahead."""

    expired: list[S]
    ahead: list[Ahead]


@dataclass(frozen=True, slots=True)
class _Idle(Generic[S]):
    key: PoolKey
    memory_mb: int
    sandbox: S
    until_ms: int
    rank: float


@dataclass(slots=True)
class Pool(Generic[S]):
    """Idle sandboxes by key and the memory that all of them, busy ones too, may take."""

    sandboxes_max: int
    memory_mb_max: int
    policy: Policy = field(default_factory=Policy)
    arrivals: Arrivals = field(default_factory=Arrivals)
    _idle: dict[int, _Idle[S]] = field(default_factory=dict)  # the least recently used first
    _by_key: dict[PoolKey, list[int]] = field(default_factory=dict)
    _expiries: list[tuple[int, int]] = field(default_factory=list)  # old ones are passed over
    _aheads: list[tuple[int, int, Ahead, Release]] = field(default_factory=list)
    _alive: dict[PoolKey, int] = field(default_factory=dict)  # starting, busy and idle
    _count: int = 0  # starting, busy and idle
    _memory_mb: int = 0
    _idle_memory_mb: int = 0
    _serial: int = 0
    _clock: float = 0.0  # rank of the last evicted

    @property
    def idle_count(self) -> int:
        """Sandboxes that wait for an invocation."""
        return len(self._idle)

    @property
    def busy_count(self) -> int:
        """Sandboxes that start or run."""
        return self._count - len(self._idle)

    @property
    def memory_mb(self) -> int:
        """What all sandboxes may take, busy and idle."""
        return self._memory_mb

    def has_idle(self, function_id: str) -> bool:
        """Whether some sandbox of the function waits for an invocation."""
        return any(key[0] == function_id for key in self._by_key)

    def list_functions(self) -> set[str]:
        """The functions that have sandboxes, busy or idle."""
        return {str(key[0]) for key in self._alive}

    def count_by(self, kind_of: Callable[[PoolKey], object]) -> tuple[Counter[object], ...]:
        """How many are busy and how many idle, by a kind that a key has."""
        alive: Counter[object] = Counter()
        for key, count in self._alive.items():
            alive[kind_of(key)] += count
        idle = Counter(kind_of(one.key) for one in self._idle.values())
        return alive - idle, idle

    def take(self, key: PoolKey, now_ms: int) -> S | None:
        """The idle sandbox of `key` that was used last: the rest can age and be evicted."""
        serials = self._by_key.get(key)
        if not serials:
            return None
        sandbox = self._remove(serials[-1]).sandbox
        self._function(key).begin(now_ms, self.arrivals.price)
        return sandbox

    def reserve(
        self, key: PoolKey, memory_mb: int, now_ms: int, waited_ms: float = math.inf
    ) -> tuple[Decision, list[S]]:
        """Make room for one more sandbox: START, with idle ones to evict first, or WAIT.

        Evicts the lowest in the policy's rank; none when even all would not make room. `waited_ms`
        is what the invocations of `key` that wait now have waited so far, together.
        """
        if self._is_soon_free(key, memory_mb, waited_ms):
            return Decision.WAIT, []
        busy_memory_mb = self._memory_mb - self._idle_memory_mb
        fits_alone = busy_memory_mb + memory_mb <= self.memory_mb_max or self.busy_count == 0
        if self.busy_count >= self.sandboxes_max or not fits_alone:
            return Decision.WAIT, []
        evicted: list[S] = []
        while self._idle and not self._has_room(memory_mb):
            evicted.append(self._evict_lowest())
        self._add(key, memory_mb)
        function = self._function(key)
        function.begin(now_ms, self.arrivals.price)
        function.waited_ms = 0.0
        if function.newest != key:
            function.newest = key
            self._supersede(key, now_ms + SUPERSEDED_MS)
        return Decision.START, evicted

    def give_back(self, key: PoolKey, memory_mb: int, sandbox: S, now_ms: int) -> None:
        """A healthy sandbox is idle again, for as long as the policy keeps it."""
        function = self._function(key)
        release = self._release(function, memory_mb, now_ms)
        window = release.window
        until_ms = min(now_ms + window.until_ms, FOREVER_MS)
        if window.from_ms:
            ahead = Ahead(key, memory_mb, until_ms)
            at_ms = now_ms + window.from_ms
            heappush(self._aheads, (at_ms, self._serial, ahead, release))
            until_ms = now_ms
        if function.newest != key:
            until_ms = min(until_ms, now_ms + SUPERSEDED_MS)
        self._insert(_Idle(key, memory_mb, sandbox, until_ms, self._rank(function, memory_mb)))

    def add_ahead(self, ahead: Ahead, sandbox: S) -> None:
        """A sandbox that `take_due` asked for is there."""
        rank = self._rank(self._function(ahead.key), ahead.memory_mb)
        self._insert(_Idle(ahead.key, ahead.memory_mb, sandbox, ahead.until_ms, rank))

    def forget(self, key: PoolKey, memory_mb: int, now_ms: int) -> None:
        """A sandbox that started for an invocation, or ran one, is gone."""
        self._release(self._function(key), memory_mb, now_ms)
        self._drop(key, memory_mb)

    def record_cold(self, key: PoolKey, cold_ms: float) -> None:
        """A cold start took that long."""
        self._function(key).record_cold(cold_ms)

    def remove_idle(self, sandbox: S) -> bool:
        """An idle sandbox died by itself; False when it was not idle."""
        for serial, idle in self._idle.items():
            if idle.sandbox is sandbox:
                self._discard(serial)
                return True
        return False

    def drain(self) -> list[S]:
        """Evict everything that is idle, the least recently used first."""
        return [self._discard(serial).sandbox for serial in list(self._idle)]

    def next_due_ms(self) -> int:
        """When `take_due` has something to say; not before, perhaps later."""
        expiry = self._expiries[0][0] if self._expiries else FOREVER_MS
        return min(expiry, self._aheads[0][0] if self._aheads else FOREVER_MS)

    def take_due(self, now_ms: int) -> Due[S]:
        """What is due by now. Nothing is evicted for a sandbox that is started ahead."""
        expired = []
        while self._expiries and self._expiries[0][0] <= now_ms:
            _, serial = heappop(self._expiries)
            if serial in self._idle:  # a second, later entry of the same is passed over then
                expired.append(self._discard(serial).sandbox)
        ahead = []
        while self._aheads and self._aheads[0][0] <= now_ms:
            _, _, wanted, release = heappop(self._aheads)
            still = self._function(wanted.key).waits_since(release) and now_ms < wanted.until_ms
            if still and self._has_room(wanted.memory_mb):
                self._add(wanted.key, wanted.memory_mb)
                ahead.append(wanted)
        return Due(expired, ahead)

    def record_wait(self, key: PoolKey, waited_ms: float) -> None:
        """An invocation that had to wait has its sandbox."""
        self._function(key).waited_ms += waited_ms

    def record_run(self, key: PoolKey, run_ms: float) -> None:
        """An invocation ran that long."""
        self._function(key).record_run(run_ms)

    # -- the books -------------------------------------------------------------------------------

    def _is_soon_free(self, key: PoolKey, memory_mb: int, waited_ms: float) -> bool:
        """A busy sandbox of the same kind will be free before another one could be there.

        Believed until as much has been waited as a start costs, or two where it costs another
        function its sandbox: whoever decides like that never pays more than twice what would have
        been best (the ski rental problem), however wrong the expectation.
        """
        if not self._alive.get(key):
            return False
        function = self._function(key)
        starts = 1 if self._has_room(memory_mb) else 2
        waited_ms += function.waited_ms
        return 0 < function.run_ms < function.cold_ms and waited_ms < starts * function.cold_ms

    def _function(self, key: PoolKey) -> FunctionArrivals:
        return self.arrivals.of(key[0])

    def _rank(self, function: FunctionArrivals, memory_mb: int) -> float:
        return self.policy.evict.rank(function, memory_mb, self._clock)

    def _release(self, function: FunctionArrivals, memory_mb: int, now_ms: int) -> Release:
        price_mb_s = self.arrivals.price.cold_mb_s
        window = conclude_window(self.policy.keep, function.end(), memory_mb, price_mb_s)
        release = Release(now_ms, memory_mb, window)
        function.released.append(release)
        return release

    def _has_room(self, memory_mb: int) -> bool:
        fits = self._memory_mb + memory_mb <= self.memory_mb_max or self._count == 0
        return fits and self._count < self.sandboxes_max

    def _insert(self, idle: _Idle[S]) -> None:
        self._serial += 1
        self._idle[self._serial] = idle
        self._by_key.setdefault(idle.key, []).append(self._serial)
        self._idle_memory_mb += idle.memory_mb
        if idle.until_ms < FOREVER_MS:
            heappush(self._expiries, (idle.until_ms, self._serial))
            if len(self._expiries) > 2 * len(self._idle) + _OLD_EXPIRIES_MAX:
                self._expiries = [entry for entry in self._expiries if entry[1] in self._idle]
                heapify(self._expiries)

    def _remove(self, serial: int) -> _Idle[S]:
        """Out of the idle ones; it still exists."""
        idle = self._idle.pop(serial)
        self._idle_memory_mb -= idle.memory_mb
        serials = self._by_key[idle.key]
        serials.remove(serial)
        if not serials:
            del self._by_key[idle.key]
        return idle

    def _discard(self, serial: int) -> _Idle[S]:
        idle = self._remove(serial)
        self._drop(idle.key, idle.memory_mb)
        return idle

    def _supersede(self, key: PoolKey, until_ms: int) -> None:
        """The function has changed: its older sandboxes are kept for as long as both are called."""
        for serial, idle in self._idle.items():
            if idle.key[0] == key[0] and idle.key != key and idle.until_ms > until_ms:
                self._idle[serial] = replace(idle, until_ms=until_ms)  # the same keys as before
                heappush(self._expiries, (until_ms, serial))

    def _evict_lowest(self) -> S:
        serial = min(self._idle, key=lambda serial: (self._idle[serial].rank, serial))
        idle = self._discard(serial)
        self._clock = max(self._clock, idle.rank)
        return idle.sandbox

    def _add(self, key: PoolKey, memory_mb: int) -> None:
        self._count += 1
        self._memory_mb += memory_mb
        self._alive[key] = self._alive.get(key, 0) + 1
        self._function(key).alive += 1

    def _drop(self, key: PoolKey, memory_mb: int) -> None:
        self._count -= 1
        self._memory_mb -= memory_mb
        assert self._count >= 0, "more sandboxes left than came"
        self._alive[key] -= 1
        if not self._alive[key]:
            del self._alive[key]
        function = self._function(key)
        function.alive -= 1
        if not function.alive:
            function.uses = 0
