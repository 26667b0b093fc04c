"""A state in the making: the same fold as `state.apply_facts`, in place, for long histories.

Not here: what is folded (`facts`), the state itself (`state`). Made for a replay, where a new
immutable state for each event would cost several times as much; a test compares the two to the
byte. Mutable: whoever folds owns it.
"""

from bisect import bisect_left
from collections import deque

from msgspec.structs import astuple

from tuner import histogram
from tuner.facts import Facts
from tuner.histogram import BOUNDS_KIB, DAY_MS, DAYS_MAX, KIBIBYTE, Day
from tuner.inputs import InputSums
from tuner.leak import SANDBOXES_MAX, Track
from tuner.samples import BOUNDS_US, SizeSamples, Sums
from tuner.state import EVIDENCE_MAX, SIZES_MAX, FunctionState

_KIB_LAST, _US_LAST = len(BOUNDS_KIB) - 1, len(BOUNDS_US) - 1

Grant = tuple[int, int | None, int]


class _Total:
    """`samples.Sums` in the making."""

    __slots__ = ("billed_ms", "count", "cpu_us", "init_us", "run_us", "runs", "throttled_us")

    def __init__(self) -> None:
        self.count = self.run_us = self.billed_ms = 0
        self.cpu_us = self.throttled_us = self.init_us = 0
        self.runs: dict[int, int] = {}

    @classmethod
    def thaw(cls, sums: Sums) -> "_Total":
        made = cls()
        made.count, made.run_us, made.billed_ms = sums.count, sums.run_us, sums.billed_ms
        made.cpu_us, made.throttled_us = sums.cpu_us, sums.throttled_us
        made.init_us, made.runs = sums.init_us, dict(sums.runs)
        return made

    def add(self, facts: Facts) -> None:
        _, _, _, _, _, _, _, _, _, run_us, init_us, cpu_us, throttled_us, _, _, _ = facts
        self.count += 1
        self.run_us += run_us
        self.billed_ms -= -run_us // 1_000
        self.cpu_us += cpu_us
        self.throttled_us += throttled_us
        self.init_us += init_us
        bucket = bisect_left(BOUNDS_US, run_us, 0, _US_LAST)
        runs = self.runs
        runs[bucket] = runs.get(bucket, 0) + 1

    def freeze(self) -> Sums:
        return Sums(
            self.count,
            self.run_us,
            self.billed_ms,
            self.cpu_us,
            self.throttled_us,
            self.init_us,
            tuple(sorted(self.runs.items())),
        )


class Accumulator:
    """One function."""

    def __init__(self) -> None:
        self._calls = self._colds = self._peaks = self._durations = self._failed_mb = 0
        self._first_ms = self._last_ms = 0
        self._days: dict[int, tuple[list[int], dict[int, int]]] = {}  # highest peak, counts
        self._inputs = [0] * len(InputSums.__struct_fields__)
        self._sizes: dict[Grant, tuple[_Total, _Total]] = {}  # warm, cold; last seen last
        self._newest: Grant = (0, None, 0)
        self._totals = (_Total(), _Total())  # of the newest grant
        self._sandboxes: dict[str, list[int]] = {}  # the fields of a Track; last seen last
        self._evidence: deque[str] = deque(maxlen=EVIDENCE_MAX)

    @classmethod
    def thaw(cls, state: FunctionState) -> "Accumulator":
        """Goes on from a state."""
        made = cls()
        made._calls, made._colds = state.call_count, state.cold_count
        made._peaks, made._durations = state.peak_count, state.duration_count
        made._failed_mb = state.out_of_memory_mb_max
        made._first_ms, made._last_ms = state.first_at_ms, state.last_at_ms
        made._days = {day.number: ([day.peak_bytes], dict(day.counts)) for day in state.days}
        made._inputs = list(astuple(state.inputs))
        for size in state.sizes:
            grant = (size.memory_mb, size.cpu_quota_us, size.cpu_period_us)
            totals = (_Total.thaw(size.warm), _Total.thaw(size.cold))
            made._sizes[grant] = totals
            made._newest, made._totals = grant, totals
        made._sandboxes = {one.sandbox_id: list(astuple(one)[1:]) for one in state.sandboxes}
        made._evidence.extend(state.evidence_ids)
        return made

    def add(self, facts: Facts) -> None:
        """One more invocation that ran."""
        # Unpacked once: looking a field up by name costs as much as adding it.
        (event_id, at_ms, sandbox_id, memory_mb, _, _, is_cold, is_timed, ran_out, _, _, _, _,
         peak_bytes, baseline_bytes, _) = facts  # fmt: skip
        if not self._calls:
            self._first_ms = self._last_ms = at_ms
        elif at_ms > self._last_ms:
            self._last_ms = at_ms
        elif at_ms < self._first_ms:
            self._first_ms = at_ms
        self._calls += 1
        self._colds += is_cold
        if ran_out and memory_mb > self._failed_mb:
            self._failed_mb = memory_mb
        if peak_bytes is not None:
            self._add_peak(at_ms, peak_bytes)
        if is_timed:
            self._add_duration(facts)
        if sandbox_id and baseline_bytes > 0:
            self._follow(sandbox_id, baseline_bytes)
        self._evidence.append(event_id)

    def freeze(self) -> FunctionState:
        """The state so far."""
        return FunctionState(
            call_count=self._calls,
            cold_count=self._colds,
            peak_count=self._peaks,
            duration_count=self._durations,
            out_of_memory_mb_max=self._failed_mb,
            first_at_ms=self._first_ms,
            last_at_ms=self._last_ms,
            days=self._freeze_days(),
            inputs=InputSums(*self._inputs),
            sizes=tuple(
                SizeSamples(
                    memory_mb=memory_mb,
                    cpu_quota_us=quota_us,
                    cpu_period_us=period_us,
                    warm=warm.freeze(),
                    cold=cold.freeze(),
                )
                for (memory_mb, quota_us, period_us), (warm, cold) in self._sizes.items()
            ),
            sandboxes=tuple(
                Track(sandbox_id, *fields) for sandbox_id, fields in self._sandboxes.items()
            ),
            evidence_ids=tuple(self._evidence),
        )

    def _add_peak(self, at_ms: int, peak_bytes: int) -> None:
        self._peaks += 1
        number = at_ms // DAY_MS
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = ([0], {})
        day[0][0] = max(day[0][0], peak_bytes)
        bucket = bisect_left(BOUNDS_KIB, -(-peak_bytes // KIBIBYTE), 0, _KIB_LAST)
        day[1][bucket] = day[1].get(bucket, 0) + 1

    def _add_duration(self, facts: Facts) -> None:
        (_, _, _, memory_mb, quota_us, period_us, is_cold, _, _, run_us, _, _, _, peak_bytes, _,
         input_bytes) = facts  # fmt: skip
        self._durations += 1
        grant = (memory_mb, quota_us, period_us)
        if grant != self._newest:
            self._change_grant(grant)
        self._totals[is_cold].add(facts)
        if input_bytes and peak_bytes is not None and not is_cold:
            self._add_input(input_bytes, peak_bytes >> 10, run_us)

    def _change_grant(self, grant: Grant) -> None:
        """It becomes the one seen last; the least recently seen goes where there are too many."""
        totals = self._sizes.pop(grant, None)
        if totals is None:
            totals = (_Total(), _Total())
            if len(self._sizes) == SIZES_MAX:
                del self._sizes[next(iter(self._sizes))]
        self._sizes[grant] = totals
        self._newest, self._totals = grant, totals

    def _add_input(self, x: int, peak_kib: int, run_us: int) -> None:
        sums = self._inputs
        sums[0] += 1
        sums[1] += x
        sums[2] += x * x
        sums[3] += peak_kib
        sums[4] += peak_kib * peak_kib
        sums[5] += x * peak_kib
        sums[6] += run_us
        sums[7] += run_us * run_us
        sums[8] += x * run_us
        sums[9] = max(sums[9], x)

    def _follow(self, sandbox_id: str, baseline_bytes: int) -> None:
        fields = self._sandboxes.pop(sandbox_id, None)
        if fields is None:
            fields = [1, baseline_bytes, baseline_bytes, 0]
            if len(self._sandboxes) == SANDBOXES_MAX:
                del self._sandboxes[next(iter(self._sandboxes))]
        else:
            fields[0] += 1
            fields[3] += baseline_bytes > fields[2]
            fields[2] = baseline_bytes
        self._sandboxes[sandbox_id] = fields

    def _freeze_days(self) -> histogram.Days:
        newest = max(self._days, default=0)
        return tuple(
            Day(number, peak[0], tuple(sorted(counts.items())))
            for number, (peak, counts) in sorted(self._days.items())
            if number > newest - DAYS_MAX
        )
