"""What the loop waits for: the sandboxes' sockets, background work, deadlines.

Not here: what to do about any of them (`loop`).
"""

import select
import time
from heapq import heappop, heappush

from executor.background import Background
from executor.seat import Seat
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
        """How long the loop may wait before a deadline needs it."""
        while self._deadlines and self._deadlines[0][2] != self._deadlines[0][3].generation:
            heappop(self._deadlines)
        if not self._deadlines:
            return block_ms_max
        left_ns = self._deadlines[0][0] - time.monotonic_ns()
        return max(0, min(block_ms_max, left_ns // 1_000_000 + 1))

    def seats(self) -> list[Seat]:
        """Every seat once."""
        return list({id(seat): seat for seat in self._by_descriptor.values()}.values())

    def close(self) -> None:
        """Close the descriptor."""
        self._epoll.close()

    def _drop(self, descriptor: int) -> None:
        del self._by_descriptor[descriptor]
        self._epoll.unregister(descriptor)
