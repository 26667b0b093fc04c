"""Does what the plan says, when it says so, and puts everything right again.

Not here: which faults there are and when (`plan`).
"""

import heapq
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.fleet import Fleet
from tests.chaos.moods import FAIR
from tests.chaos.plan import Fault

_AGAIN_SECONDS = 0.2
_BALLAST_PIECE = b"\0" * (1 << 20)


@dataclass(frozen=True)
class Injected:
    """A fault that was done, in Unix milliseconds."""

    fault: Fault
    began_ms: int
    ended_ms: int


Undo = Callable[[], None]


class Saboteur:
    """Carries a plan out on a fleet, on a thread of its own; looks after the fleet meanwhile."""

    def __init__(self, fleet: Fleet, plan: tuple[Fault, ...], seed: int) -> None:
        self._fleet = fleet
        self._plan = plan
        self._chance = random.Random(seed)
        self.injected: list[Injected] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """The whole plan was carried out and everything put right."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """No further fault; everything is put right."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        waiting = list(self._plan)
        under_way: list[tuple[float, int, Fault, int, Undo]] = []
        while waiting or under_way:
            if self._stop.is_set():
                waiting = []
            now = time.monotonic() - began
            while under_way and (under_way[0][0] <= now or self._stop.is_set()):
                _, _, fault, began_ms, undo = heapq.heappop(under_way)
                undo()
                self.injected.append(Injected(fault, began_ms, _now_ms()))
            if waiting and waiting[0].at_s <= now:
                fault = heapq.heappop(waiting)
                began_ms = _now_ms()
                done = self._do(fault)
                if done is None:  # its victim is just being started again: a little later then
                    heapq.heappush(waiting, replace(fault, at_s=now + _AGAIN_SECONDS))
                else:
                    place = (now + fault.seconds, len(waiting), fault, began_ms, done)
                    heapq.heappush(under_way, place)
            self._fleet.look_after()
            time.sleep(0.02)

    def _do(self, fault: Fault) -> Undo | None:
        """Begin it; returns how it is ended, or None where there is nothing to do it to."""
        match fault.kind:
            case "kill":
                return self._kill(fault.target)
            case "pause":
                return self._pause(fault.target)
            case "network":
                return self._disturb(fault)
            case "disk":
                return self._fill(self._fleet.disks[fault.target])
            case "clock":
                clock = self._fleet.clocks[fault.target]
                clock.set(fault.jump_s)
                return lambda: clock.set(0)
            case _:
                raise AssertionError(fault)

    def _find(self, target: str) -> int | None:
        if target in self._fleet.stacks:
            living = self._fleet.living(target)
            return self._chance.choice(living).pid if living else None
        return self._fleet.server_id(target)

    def _kill(self, target: str) -> Undo | None:
        victim = self._find(target)
        if victim is None:
            return None
        self._fleet.killed.add(victim)
        os.kill(victim, signal.SIGKILL)
        if target in self._fleet.stacks:
            return lambda: self._fleet.stacks[target].start(target)
        return lambda: None  # `local` starts it again

    def _pause(self, target: str) -> Undo | None:
        victim = self._find(target)
        if victim is None:
            return None
        os.kill(victim, signal.SIGSTOP)

        def go_on() -> None:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

        return go_on

    def _disturb(self, fault: Fault) -> Undo:
        link = self._fleet.links[fault.target]
        link.set_weather(fault.weather)
        return lambda: link.set_weather(FAIR)

    def _fill(self, folder: Path) -> Undo:
        ballast = folder / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(_BALLAST_PIECE)
        return lambda: ballast.unlink(missing_ok=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
