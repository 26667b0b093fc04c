"""The last quarter of an hour in short buckets: how many, how long, how they ended.

Not here: which event counts (`projection`). Bounded: a histogram of fixed width for each bucket,
whose classes are 5 % wide, so a percentile is off by 2.5 % at most.
"""

from collections import Counter, deque
from collections.abc import Iterable
from math import ceil, exp, log

BUCKET_MS = 15_000
BUCKETS = 60
_WIDTH = log(1.05)


class Bucket:
    """What ended in one stretch of time."""

    def __init__(self, begins_ms: int) -> None:
        self.begins_ms = begins_ms
        self.ended = 0
        self.failed = 0
        self.cold = 0
        self.unseen = 0  # ended too fast to be looked at one by one
        self.lengths: Counter[int] = Counter()

    def add(self, length_us: int, *, failed: bool, cold: bool) -> None:
        """One invocation."""
        self.ended += 1
        self.failed += failed
        self.cold += cold
        self.lengths[find_class(length_us)] += 1


class Window:
    """The buckets that are remembered, oldest first."""

    def __init__(self) -> None:
        self._buckets: deque[Bucket] = deque(maxlen=BUCKETS)

    def add(self, at_ms: int, length_us: int, *, failed: bool, cold: bool) -> None:
        """One invocation that ended at a moment; what is older than the window is left out."""
        bucket = self._find(at_ms)
        if bucket is not None:
            bucket.add(length_us, failed=failed, cold=cold)

    def add_unseen(self, at_ms: int, count: int) -> None:
        """Invocations of which only the number is known."""
        bucket = self._find(at_ms)
        if bucket is not None:
            bucket.unseen += count

    def list_buckets(self, now_ms: int) -> list[Bucket]:
        """All buckets up to now, empty ones too, oldest first."""
        last = now_ms - now_ms % BUCKET_MS
        known = {bucket.begins_ms: bucket for bucket in self._buckets}
        begins = range(last - (BUCKETS - 1) * BUCKET_MS, last + 1, BUCKET_MS)
        return [known.get(begin) or Bucket(begin) for begin in begins]

    def _find(self, at_ms: int) -> Bucket | None:
        begins_ms = at_ms - at_ms % BUCKET_MS
        for bucket in reversed(self._buckets):
            if bucket.begins_ms == begins_ms:
                return bucket
            if bucket.begins_ms < begins_ms:
                break
        if self._buckets and begins_ms <= self._buckets[-1].begins_ms - BUCKETS * BUCKET_MS:
            return None
        bucket = Bucket(begins_ms)
        ordered = sorted([*self._buckets, bucket], key=lambda one: one.begins_ms)
        self._buckets = deque(ordered, maxlen=BUCKETS)
        return bucket if bucket in self._buckets else None


def add_up(buckets: Iterable[Bucket]) -> Counter[int]:
    """The histogram of several buckets."""
    total: Counter[int] = Counter()
    for bucket in buckets:
        total += bucket.lengths
    return total


def find_percentile_us(lengths: Counter[int], share: float) -> float | None:
    """The length that `share` of all keep; None of nothing."""
    total = sum(lengths.values())
    rank, seen = ceil(total * share), 0
    for number in sorted(lengths):
        seen += lengths[number]
        if seen >= rank:
            return exp((number - 0.5) * _WIDTH)
    return None


def find_class(length_us: int) -> int:
    """The class of the histogram that a length falls into."""
    return ceil(log(max(length_us, 1)) / _WIDTH)
