"""The warm pool: which sandbox serves an invocation, which one has to go. Decides; touches nothing.

A sandbox never serves two functions: idle ones are kept under the key of everything that makes
them different. Starting and destroying is done by `starter`.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from shared.events import InvocationRequested

PoolKey = tuple[object, ...]
S = TypeVar("S")


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


@dataclass(slots=True)
class Pool(Generic[S]):
    """Idle sandboxes by key and the memory that all of them, busy ones too, may take."""

    sandboxes_max: int
    memory_mb_max: int
    _idle: OrderedDict[int, tuple[PoolKey, int, S]] = field(default_factory=OrderedDict)
    _by_key: dict[PoolKey, list[int]] = field(default_factory=dict)
    _count: int = 0  # starting, busy and idle
    _memory_mb: int = 0
    _serial: int = 0

    @property
    def idle_count(self) -> int:
        """Sandboxes that wait for an invocation."""
        return len(self._idle)

    @property
    def busy_count(self) -> int:
        """Sandboxes that start or run."""
        return self._count - len(self._idle)

    def take(self, key: PoolKey) -> S | None:
        """The idle sandbox of `key` that was used last: the rest can age and be evicted."""
        serials = self._by_key.get(key)
        if not serials:
            return None
        _, _, sandbox = self._idle.pop(serials.pop())
        if not serials:
            del self._by_key[key]
        return sandbox

    def reserve(self, memory_mb: int) -> tuple[Decision, list[S]]:
        """Make room for one more sandbox: START, with idle ones to evict first, or WAIT.

        Evicts the least recently used; none when even that would not make room.
        """
        busy_memory_mb = self._memory_mb - sum(size for _, size, _ in self._idle.values())
        fits_alone = busy_memory_mb + memory_mb <= self.memory_mb_max or self.busy_count == 0
        if self.busy_count >= self.sandboxes_max or not fits_alone:
            return Decision.WAIT, []
        evicted: list[S] = []
        while self._idle and (
            self._count >= self.sandboxes_max or self._memory_mb + memory_mb > self.memory_mb_max
        ):
            evicted.append(self._evict_oldest())
        self._count += 1
        self._memory_mb += memory_mb
        return Decision.START, evicted

    def give_back(self, key: PoolKey, memory_mb: int, sandbox: S) -> None:
        """A healthy sandbox is idle again."""
        self._serial += 1
        self._idle[self._serial] = (key, memory_mb, sandbox)
        self._by_key.setdefault(key, []).append(self._serial)

    def forget(self, memory_mb: int) -> None:
        """A sandbox that started or ran is gone."""
        self._count -= 1
        self._memory_mb -= memory_mb
        assert self._count >= 0, "more sandboxes left than came"

    def remove_idle(self, sandbox: S) -> bool:
        """An idle sandbox died by itself; False when it was not idle."""
        for serial, (key, memory_mb, candidate) in self._idle.items():
            if candidate is sandbox:
                del self._idle[serial]
                self._unlist(key, serial)
                self.forget(memory_mb)
                return True
        return False

    def drain(self) -> list[S]:
        """Evict everything that is idle."""
        return [self._evict_oldest() for _ in range(len(self._idle))]

    def _evict_oldest(self) -> S:
        serial, (key, memory_mb, sandbox) = self._idle.popitem(last=False)
        self._unlist(key, serial)
        self.forget(memory_mb)
        return sandbox

    def _unlist(self, key: PoolKey, serial: int) -> None:
        self._by_key[key].remove(serial)
        if not self._by_key[key]:
            del self._by_key[key]
