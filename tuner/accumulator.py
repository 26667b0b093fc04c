"""A state in the making: the same fold as `state.apply_facts`, in place, for long histories.

Not here: what is folded (`facts`), the state itself (`state`). Made for a replay, where a new
immutable state for each event would cost several times as much; a test compares the two to the
byte. Mutable: whoever folds owns it.
"""

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable

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

    def __init__(self, sums: Sums = Sums()) -> None:  # noqa: B008 - it is frozen
        (self.count, self.run_us, self.billed_ms, self.cpu_us, self.throttled_us, self.init_us,
         runs) = astuple(sums)  # fmt: skip
        self.runs = defaultdict(int, runs)

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
        self._days: dict[int, tuple[list[int], defaultdict[int, int]]] = {}  # highest, counts
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
        made._days = {
            day.number: ([day.peak_bytes], defaultdict(int, day.counts)) for day in state.days
        }
        made._inputs = list(astuple(state.inputs))
        for size in state.sizes:
            grant = (size.memory_mb, size.cpu_quota_us, size.cpu_period_us)
            totals = (_Total(size.warm), _Total(size.cold))
            made._sizes[grant] = totals
            made._newest, made._totals = grant, totals
        made._sandboxes = {one.sandbox_id: list(astuple(one)[1:]) for one in state.sandboxes}
        made._evidence.extend(state.evidence_ids)
        return made

    def add(self, facts: Facts) -> None:
        """One more invocation that ran."""
        self.add_all((facts,))

    # One loop with everything at hand: that is what its speed rests on.
    def add_all(self, history: Iterable[Facts]) -> None:  # noqa: C901
        """More invocations that ran, in the order of the log."""
        calls, colds, peaks, durations = self._calls, self._colds, self._peaks, self._durations
        first_ms, last_ms, day_number = self._first_ms, self._last_ms, -1
        newest, sandbox_id_before = self._newest, ""
        warm_and_cold, remember = self._totals, self._evidence.append
        for (event_id, at_ms, sandbox_id, memory_mb, quota_us, period_us, is_cold, is_timed,
             ran_out, run_us, init_us, cpu_us, throttled_us, peak_bytes, baseline_bytes,
             input_bytes) in history:  # fmt: skip
            if not calls:
                first_ms = last_ms = at_ms
            elif at_ms > last_ms:
                last_ms = at_ms
            elif at_ms < first_ms:
                first_ms = at_ms
            calls += 1
            colds += is_cold
            if ran_out and memory_mb > self._failed_mb:
                self._failed_mb = memory_mb
            if peak_bytes is not None:
                peaks += 1
                if at_ms // DAY_MS != day_number:
                    day_number = at_ms // DAY_MS
                    highest, counts = self._find_day(day_number)
                highest[0] = max(highest[0], peak_bytes)
                counts[bisect_left(BOUNDS_KIB, -(-peak_bytes // KIBIBYTE), 0, _KIB_LAST)] += 1
            if is_timed:
                durations += 1
                grant = (memory_mb, quota_us, period_us)
                if grant != newest:
                    newest, warm_and_cold = grant, self._change_grant(grant)
                total = warm_and_cold[is_cold]
                total.count += 1
                total.run_us += run_us
                total.billed_ms -= -run_us // 1_000
                total.cpu_us += cpu_us
                total.throttled_us += throttled_us
                total.init_us += init_us
                total.runs[bisect_left(BOUNDS_US, run_us, 0, _US_LAST)] += 1
                if input_bytes and peak_bytes is not None and not is_cold:
                    self._add_input(input_bytes, peak_bytes >> 10, run_us)
            if sandbox_id and baseline_bytes > 0:
                if sandbox_id != sandbox_id_before:
                    sandbox_id_before = sandbox_id
                    track = self._change_sandbox(sandbox_id, baseline_bytes)
                track[0] += 1
                track[3] += baseline_bytes > track[2]
                track[2] = baseline_bytes
            remember(event_id)
        self._calls, self._colds, self._peaks, self._durations = calls, colds, peaks, durations
        self._first_ms, self._last_ms = first_ms, last_ms
        self._newest, self._totals = newest, warm_and_cold

    @property
    def count(self) -> int:
        """How many were added."""
        return self._calls

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

    def _find_day(self, number: int) -> tuple[list[int], defaultdict[int, int]]:
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = ([0], defaultdict(int))
        return day

    def _change_grant(self, grant: Grant) -> tuple[_Total, _Total]:
        """It becomes the one seen last; the least recently seen goes where there are too many."""
        totals = self._sizes.pop(grant, None)
        if totals is None:
            totals = (_Total(), _Total())
            if len(self._sizes) == SIZES_MAX:
                del self._sizes[next(iter(self._sizes))]
        self._sizes[grant] = totals
        return totals

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

    def _change_sandbox(self, sandbox_id: str, baseline_bytes: int) -> list[int]:
        """It becomes the one seen last; the least recently seen goes where there are too many."""
        track = self._sandboxes.pop(sandbox_id, None)
        if track is None:
            track = [0, baseline_bytes, baseline_bytes, 0]
            if len(self._sandboxes) == SANDBOXES_MAX:
                del self._sandboxes[next(iter(self._sandboxes))]
        self._sandboxes[sandbox_id] = track
        return track

    def _freeze_days(self) -> histogram.Days:
        newest = max(self._days, default=0)
        return tuple(
            Day(number, peak[0], tuple(sorted(counts.items())))
            for number, (peak, counts) in sorted(self._days.items())
            if number > newest - DAYS_MAX
        )
