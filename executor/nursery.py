"""Generic sandboxes: started before any function needs them, so that a first call finds one ready.

How many are kept follows the misses: as many as were asked for within the time that replacing one
takes, at the busiest moment of the last ten minutes. Decides; touches nothing. Not here: the
sandboxes of functions (`pool`), starting one and making it a function's (`launch`).

No clock: `now_ms` is any that does not run backwards.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from shared.events import InvocationRequested, Network, Runtime

S = TypeVar("S")

GENERIC_MEMORY_MB = 128  # the least that a function may ask for: it is raised, never lowered
REMEMBER_MS = 600_000
REPLACE_MS = 1_000  # generous: a sandbox starts in 40 to 400 ms, on a busy host in more
CALM_MS = 50  # a first call in a ready sandbox takes ten
_DEMANDS_MAX = 1_024


class GenericKey(NamedTuple):
    """What cannot be changed once a sandbox has started."""

    runtime: Runtime
    network: Network
    memory_mb: int
    own_bootstrap: bool = False  # prepared for one: it speaks the Runtime API


def generic_key_of(request: InvocationRequested, *, own_bootstrap: bool = False) -> GenericKey:
    """The kind of generic sandbox that can become the request's.

    V8 takes the size of its heap at its start and never again, hence Node.js by memory.
    """
    is_fixed = request.runtime is Runtime.NODEJS and not own_bootstrap
    memory_mb = request.memory_mb if is_fixed else GENERIC_MEMORY_MB
    return GenericKey(request.runtime, request.network, memory_mb, own_bootstrap)


@dataclass(slots=True)
class _Cot(Generic[S]):
    """The generic sandboxes of one kind."""

    ready: list[S] = field(default_factory=list)
    starting: int = 0
    demands: deque[int] = field(default_factory=lambda: deque(maxlen=_DEMANDS_MAX))
    peaks: deque[tuple[int, int]] = field(default_factory=deque)  # (time, count), counts falling

    @property
    def count(self) -> int:
        return len(self.ready) + self.starting

    def note_demand(self, now_ms: int) -> None:
        """A sandbox of this kind was needed: count how many were within REPLACE_MS."""
        self.demands.append(now_ms)
        while self.demands[0] <= now_ms - REPLACE_MS:
            self.demands.popleft()
        while self.peaks and self.peaks[-1][1] <= len(self.demands):
            self.peaks.pop()
        self.peaks.append((now_ms, len(self.demands)))

    def decide_target(self, now_ms: int) -> int:
        """The highest of those counts that is not forgotten yet."""
        while self.peaks and self.peaks[0][0] <= now_ms - REMEMBER_MS:
            self.peaks.popleft()
        return self.peaks[0][1] if self.peaks else 0


@dataclass(slots=True)
class Nursery(Generic[S]):
    """Generic sandboxes by kind; at most `sandboxes_max` of them, ready and starting."""

    sandboxes_max: int
    calm_until_ms: int = 0  # after a first call that found one; 0: nothing waits for that
    _cots: dict[GenericKey, _Cot[S]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Generic sandboxes, ready and starting."""
        return sum(cot.count for cot in self._cots.values())

    def count_by_runtime(self) -> Counter[Runtime]:
        """The same, by runtime."""
        counts: Counter[Runtime] = Counter()
        for key, cot in self._cots.items():
            counts[key.runtime] += cot.count
        return counts

    @property
    def memory_mb(self) -> int:
        """What they may take."""
        return sum(key.memory_mb * cot.count for key, cot in self._cots.items())

    def expect(self, key: GenericKey, now_ms: int) -> None:
        """One of this kind will be needed, though none was yet."""
        self._cots.setdefault(key, _Cot()).peaks.append((now_ms, 1))

    def take(self, key: GenericKey, now_ms: int) -> S | None:
        """The one that has been ready for longest; None is a miss. Either is a demand."""
        cot = self._cots.setdefault(key, _Cot())
        cot.note_demand(now_ms)
        if not cot.ready:
            return None
        self.calm_until_ms = now_ms + CALM_MS
        return cot.ready.pop(0)

    def decide_start(self, now_ms: int, memory_mb_left: int) -> GenericKey | None:
        """The kind of which one should be started now: the one that has the fewest.

        So a neighbour's burst of another kind does not take the share of what is asked for
        steadily. Not in the moment after a first call that found another one ready: its start
        would take the processors from that very call.
        """
        short = [
            (cot.count, index, key)
            for index, (key, cot) in enumerate(self._cots.items())
            if cot.count < cot.decide_target(now_ms)
            and key.memory_mb <= memory_mb_left
            and not (cot.ready and now_ms < self.calm_until_ms)
        ]
        if not short or self.count >= self.sandboxes_max:
            return None
        key = min(short)[2]
        self._cots[key].starting += 1
        return key

    def add(self, key: GenericKey, sandbox: S) -> None:
        """A sandbox that `decide_start` asked for is ready."""
        cot = self._cots[key]
        cot.starting -= 1
        cot.ready.append(sandbox)

    def fail(self, key: GenericKey) -> None:
        """A sandbox that `decide_start` asked for cannot be had: forget that it was wanted."""
        cot = self._cots[key]
        cot.starting -= 1
        cot.peaks.clear()

    def take_surplus(self, now_ms: int) -> list[S]:
        """Those that nobody has asked for in a long time, to be destroyed."""
        surplus = []
        for key, cot in list(self._cots.items()):
            while cot.ready and cot.count > cot.decide_target(now_ms):
                surplus.append(cot.ready.pop(0))
            if not cot.count and not cot.decide_target(now_ms):
                del self._cots[key]
        return surplus

    def give_up(self, memory_mb: int, spare: GenericKey) -> list[S]:
        """Enough ready ones, to be destroyed, for `memory_mb` to become free, if there are.

        Of the kind `spare` last: one of these is about to be needed.
        """
        given: list[S] = []
        for key, cot in sorted(self._cots.items(), key=lambda item: item[0] == spare):
            while cot.ready and memory_mb > 0:
                given.append(cot.ready.pop(0))
                memory_mb -= key.memory_mb
        return given

    def drain(self) -> list[S]:
        """All that are ready, to be destroyed."""
        drained = []
        for cot in self._cots.values():
            drained += cot.ready
            cot.ready.clear()
        return drained
