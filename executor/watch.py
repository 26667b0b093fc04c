"""What the loop waits for: the sandboxes' sockets, background work, deadlines.

Not here: what to do about any of them (`loop`).
"""

import select
import time
from collections import deque
from heapq import heappop, heappush

from executor.background import Background
from executor.seat import Seat
from executor.series import AFTER_MS
from shared.wire import wait_readable

_EVENTS_MAX = 64


class Watch:
    """The seats in the loop's hands. Its descriptor is readable when one needs attention."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._epoll = select.epoll()
        self._epoll.register(background.fileno(), select.EPOLLIN)
        self._by_descriptor: dict[int, Seat] = {}
        self._deadlines: list[tuple[int, int, int, Seat]] = []
        # Calls younger than AFTER_MS, oldest first: all a short run costs is to be in it.
        self._young: deque[tuple[int, int, Seat]] = deque()
        self._samples: list[tuple[int, int, int, Seat]] = []

    def fileno(self) -> int:
        """The descriptor to wait on together with others."""
        return self._epoll.fileno()

    def wait(self, seconds: float) -> None:
        """Wait for these alone."""
        wait_readable([self.fileno()], seconds)

    def join(self, seat: Seat) -> None:
        """Watch a seat's channel and log."""
        for descriptor in (seat.channel.fileno(), seat.sandbox.logs.fileno()):
            self._by_descriptor[descriptor] = seat
            self._epoll.register(descriptor, select.EPOLLIN)

    def leave(self, seat: Seat) -> None:
        """Watch a seat no longer; before its sockets are closed."""
        seat.generation += 1  # its deadline no longer counts
        for descriptor in [fd for fd, other in self._by_descriptor.items() if other is seat]:
            self._drop(descriptor)

    def take_ready(self) -> list[Seat]:
        """Seats whose bootstrap sent something or is gone; logs are read on the way.

        Logs come first: what was written before an answer belongs to it.
        """
        ready = []
        for descriptor, _ in self._epoll.poll(0, _EVENTS_MAX):
            seat = self._by_descriptor.get(descriptor)
            if seat is None:
                self._background.clear_wake()
                continue
            if descriptor != seat.sandbox.logs.fileno():
                ready.append(seat)
            elif not seat.read_logs():
                self._drop(descriptor)
        return ready

    def set_deadline(self, seat: Seat, timeout_ms: int) -> None:
        """The seat's present wait may last this long."""
        at_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        heappush(self._deadlines, (at_ns, id(seat), seat.generation, seat))

    def set_call(self, seat: Seat, timeout_ms: int) -> None:
        """The seat's call began: it may last so long, and is sampled where it lasts."""
        self.set_deadline(seat, timeout_ms)
        at_ns = time.monotonic_ns() + AFTER_MS * 1_000_000
        self._young.append((at_ns, seat.generation, seat))

    def sample_due(self) -> None:
        """Let the seats that have run for long take their samples."""
        now = time.monotonic_ns()
        while self._young and self._young[0][0] <= now:
            _, generation, seat = self._young.popleft()
            self._sample(seat, generation, now)
        while self._samples and self._samples[0][0] <= now:
            _, _, generation, seat = heappop(self._samples)
            self._sample(seat, generation, now)

    def take_overdue(self) -> list[Seat]:
        """Seats that have waited too long; each once. Old deadlines are forgotten on the way."""
        now = time.monotonic_ns()
        overdue = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, generation, seat = heappop(self._deadlines)
            if generation == seat.generation:
                overdue.append(seat)
        return overdue

    def decide_block_ms(self, block_ms_max: int) -> int:
        """How long the loop may wait before a deadline or a sample needs it."""
        while self._deadlines and self._deadlines[0][2] != self._deadlines[0][3].generation:
            heappop(self._deadlines)
        while self._young and self._young[0][1] != self._young[0][2].generation:
            self._young.popleft()
        due = [times[0][0] for times in (self._deadlines, self._young, self._samples) if times]
        if not due:
            return block_ms_max
        left_ns = min(due) - time.monotonic_ns()
        return max(0, min(block_ms_max, left_ns // 1_000_000 + 1))

    def seats(self) -> list[Seat]:
        """Every seat once."""
        return list({id(seat): seat for seat in self._by_descriptor.values()}.values())

    def close(self) -> None:
        """Close the descriptor."""
        self._epoll.close()

    def _sample(self, seat: Seat, generation: int, now: int) -> None:
        if generation == seat.generation and seat.invocation is not None:
            at_ns = now + seat.sample() * 1_000_000
            heappush(self._samples, (at_ns, id(seat), generation, seat))

    def _drop(self, descriptor: int) -> None:
        del self._by_descriptor[descriptor]
        self._epoll.unregister(descriptor)
