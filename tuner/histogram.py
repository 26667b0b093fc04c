"""The demand histogram: what a function needed, by day; newer days weigh more, old ones fade.

Not here: what is decided from it (`floor`).

Counts in fixed buckets, per day, are integers that only add up: events may come in any order, two
histograms merge, and the result is the same to the byte. The weight of a day is 2 to the power of
its age in days (half-life of a day, as in Kubernetes' recommender, whose buckets grow by 5 % too),
and is applied when it is read, so that adding needs no arithmetic on what is there.
"""

from bisect import bisect_left

from msgspec import Struct

DAY_MS = 86_400_000
DAYS_MAX = 14  # as AWS Compute Optimizer looks back
KIBIBYTE = 1 << 10

Counts = tuple[tuple[int, int], ...]  # (bucket, count), ascending


def _make_bounds() -> tuple[int, ...]:
    """The upper ends of the buckets in KiB, from 1 MiB to 11 GiB, each 5 % above the last."""
    bounds = [1 << 10]
    while bounds[-1] < 11 << 20:
        bounds.append(bounds[-1] * 105 // 100)
    return tuple(bounds)


BOUNDS_KIB = _make_bounds()


class Day(Struct, frozen=True, array_like=True):
    """What was needed on one day."""

    number: int  # days since 1970
    peak_bytes: int  # exact
    counts: Counts


Days = tuple[Day, ...]  # ascending, at most DAYS_MAX


def add(days: Days, at_ms: int, need_bytes: int) -> Days:
    """One more need; one older than the oldest day that is kept changes nothing."""
    number = at_ms // DAY_MS
    bucket = bisect_left(BOUNDS_KIB, -(-need_bytes // KIBIBYTE), 0, len(BOUNDS_KIB) - 1)
    if days and days[-1].number == number:  # nearly always
        last = days[-1]
        day = Day(number, max(last.peak_bytes, need_bytes), add_count(last.counts, bucket, 1))
        return (*days[:-1], day)
    return merge(days, (Day(number, need_bytes, ((bucket, 1),)),))


def merge(one: Days, other: Days) -> Days:
    """Both together, as if all needs had been added to one of them."""
    by_number = {day.number: day for day in one}
    for day in other:
        known = by_number.get(day.number)
        if known is not None:
            day = Day(  # noqa: PLW2901
                day.number,
                max(day.peak_bytes, known.peak_bytes),
                merge_counts(known.counts, day.counts),
            )
        by_number[day.number] = day
    newest = max(by_number, default=0)
    kept = sorted(number for number in by_number if number > newest - DAYS_MAX)
    return tuple([by_number[number] for number in kept])


def add_count(counts: Counts, bucket: int, count: int) -> Counts:
    """One bucket larger by `count`."""
    for position, (present, so_far) in enumerate(counts):
        if present == bucket:
            return (*counts[:position], (bucket, so_far + count), *counts[position + 1 :])
        if present > bucket:
            return (*counts[:position], (bucket, count), *counts[position:])
    return (*counts, (bucket, count))


def merge_counts(one: Counts, other: Counts) -> Counts:
    """Both added up."""
    total = dict(one)
    for bucket, count in other:
        total[bucket] = total.get(bucket, 0) + count
    return tuple(sorted(total.items()))


def find_peak_bytes(days: Days) -> int:
    """The highest need of all days that are kept, exact."""
    return max((day.peak_bytes for day in days), default=0)


def estimate_percentile_bytes(days: Days, permille: int) -> int:
    """The end of the bucket below which `permille` of the weight lies; 0 without any."""
    if not days:
        return 0
    oldest = days[0].number
    weights: dict[int, int] = {}
    for day in days:
        for bucket, count in day.counts:
            weights[bucket] = weights.get(bucket, 0) + (count << (day.number - oldest))
    total, below = sum(weights.values()), 0
    for bucket in sorted(weights):
        below += weights[bucket]
        if below * 1_000 >= total * permille:
            return min(BOUNDS_KIB[bucket] * KIBIBYTE, find_peak_bytes(days))
    return find_peak_bytes(days)
