"""The series of one long run: a few texts at moments that stay few, however long it runs.

Not here: when a sample is due (`watch`), which files are read (`readings`), what the texts mean.
"""

from shared.events import Series

AFTER_MS = 200  # a shorter run has no series, and costs nothing for it
INTERVAL_MS = 20
NEVER_MS = 86_400_000  # later than any run: there is nothing to sample without a cgroup
POINTS_MAX = 600  # about 20 KiB of an event


class Samples:
    """Samples of one run. When full, every second one goes and the interval doubles."""

    def __init__(self, memory_file: str, cpu_file: str) -> None:
        self._files = memory_file, cpu_file
        self._points: list[tuple[int, str, str]] = []
        self.interval_ms = INTERVAL_MS

    def add(self, at_us: int, memory: str, cpu: str) -> None:
        """One more moment; later than all before it."""
        if len(self._points) == POINTS_MAX:
            del self._points[1::2]
            self.interval_ms *= 2
        self._points.append((at_us, memory, cpu))

    def finish(self) -> Series:
        """What the event holds."""
        moments, memory, cpu = zip(*self._points, strict=True) if self._points else ((), (), ())
        return Series(
            at_us=moments,
            memory=memory,
            cpu=cpu,
            memory_file=self._files[0],
            cpu_file=self._files[1],
        )
