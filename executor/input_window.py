"""The bytes of one object between those who fetch its parts and the one who hands them on.

Not here: fetching (`input_source`) and where the bytes go (`input_stream`).

Several fetch parts at the same time, each into its place in a ring of memory that is mapped for
this object alone and given back whole with it. Who is too far ahead of what was handed on waits,
so that memory stays the same at any size, and the part that is next always has room.
"""

import mmap
import threading
from dataclasses import dataclass

VIEW_BYTES_MAX = 256 * 1024  # taken from a connection at a time


@dataclass(frozen=True, slots=True)
class Part:
    """A range of the object that one thread fetches."""

    begin: int
    end: int


class Window:
    """The ring; every method may be called from any thread."""

    def __init__(self, size_bytes: int, part_bytes: int, window_bytes: int) -> None:
        self._size = size_bytes
        self._part_bytes = part_bytes
        self._length = max(min(window_bytes, size_bytes), 1)
        self._ring = memoryview(mmap.mmap(-1, self._length))
        self._changed = threading.Condition()
        self._taken = 0  # all before it was handed on
        self._claimed = 0  # all before it is somebody's part
        self._filled: dict[int, int] = {}  # by the part's begin: all before it is there
        self._closed = False

    def claim(self) -> Part | None:
        """The next part that nobody fetches yet; None when there is none or nobody wants it."""
        with self._changed:
            if self._closed or self._claimed >= self._size:
                return None
            begin = self._claimed
            self._claimed = min(begin + self._part_bytes, self._size)
            self._filled[begin] = begin
            return Part(begin, self._claimed)

    def room(self, part: Part, at: int) -> memoryview | None:
        """Where to put the bytes of `part` from `at` on; waits for room. None: nobody wants it."""
        with self._changed:
            while not self._closed and at >= self._taken + self._length:
                self._changed.wait()
            if self._closed:
                return None
            end = min(part.end, self._taken + self._length, at + VIEW_BYTES_MAX)
            return self._view(at, end)

    def reached(self, part: Part) -> int:
        """Up to where the bytes of `part` are there."""
        with self._changed:
            return self._filled.get(part.begin, part.end)  # not there: handed on already

    def filled(self, part: Part, until: int) -> None:
        """The bytes of `part` before `until` are there."""
        with self._changed:
            self._filled[part.begin] = until
            if part.begin <= self._taken:  # somebody may wait for them
                self._changed.notify_all()

    def take(self) -> memoryview | None:
        """The next bytes, in order; waits for them. None at the end, and when it was closed."""
        with self._changed:
            while not self._closed and self._taken < self._size:
                there = self._filled.get(self._taken - self._taken % self._part_bytes, 0)
                if there > self._taken:
                    return self._view(self._taken, there)
                self._changed.wait()
            return None

    def taken(self, count: int) -> None:
        """The first `count` of the bytes that `take` gave are not needed any more."""
        with self._changed:
            part = self._taken - self._taken % self._part_bytes
            self._taken += count
            if self._taken == min(part + self._part_bytes, self._size):
                del self._filled[part]
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody wants the rest: whoever waits goes on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether nobody wants the rest."""
        return self._closed

    @property
    def taken_bytes(self) -> int:
        """How much was handed on."""
        return self._taken

    def _view(self, begin: int, end: int) -> memoryview:
        """The ring from `begin` to `end`, or to where it begins again."""
        place = begin % self._length
        return self._ring[place : min(place + end - begin, self._length)]
