"""The overview's figures. Pure, from the projection.

Not here: how they look (`templates/overview.html`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from console import charts
from console.gauges import Reading
from console.projection import Projection
from console.rows import Function, Invocation
from console.stages import StageView, count_backlog, list_stages
from console.window import BUCKET_MS, Bucket, add_up, find_percentile_us
from console.words import describe_rate, describe_time, describe_us
from shared.settings import Settings

_SECONDS = BUCKET_MS / 1_000
_RECENT = 15
_FUNCTIONS = 50


@dataclass(frozen=True)
class Overview:
    """The page."""

    rate: float  # results a second in the last minute
    ended: int  # looked at one by one, in the window; likewise the next two
    failed: int
    cold: int
    p50_us: float | None
    p99_us: float | None
    savings_usd: float | None  # a month, of all functions together
    advised: int  # functions that would cost less
    backlog: int
    backlog_max: int
    sandboxes: dict[str, int]
    sandboxes_known: bool
    sandboxes_started: int
    stages: list[StageView]
    functions: list[Function]
    functions_more: int
    recent: list[Invocation]
    throughput: Markup
    latency: Markup
    skipped: int

    @property
    def holds_back(self) -> bool:
        """Ingest leaves messages in the queue."""
        return self.backlog >= self.backlog_max


def make_overview(projection: Projection, reading: Reading, settings: Settings) -> Overview:
    """What is known now. The caller holds the lock."""
    buckets = projection.window.list_buckets(projection.read_at_ms)
    lengths = add_up(buckets)
    savings = list_savings(projection.functions.values())
    functions = sorted(projection.functions.values(), key=lambda one: -one.invocations)
    return Overview(
        rate=estimate_rate(buckets, projection.read_at_ms),
        ended=sum(bucket.ended for bucket in buckets),
        failed=sum(bucket.failed for bucket in buckets),
        cold=sum(bucket.cold for bucket in buckets),
        p50_us=find_percentile_us(lengths, 0.5),
        p99_us=find_percentile_us(lengths, 0.99),
        savings_usd=sum(savings),
        advised=len(savings),
        backlog=count_backlog(projection.groups),
        backlog_max=settings.backlog_max,
        sandboxes=reading.sandboxes,
        sandboxes_known=reading.known,
        sandboxes_started=len(projection.sandboxes),
        stages=list_stages(projection.groups, reading.waits, settings.claim_idle_ms),
        functions=functions[:_FUNCTIONS],
        functions_more=max(len(functions) - _FUNCTIONS, 0),
        recent=projection.list_recent(limit=_RECENT),
        throughput=draw_throughput(zoom(buckets)),
        latency=draw_latency(zoom(buckets)),
        skipped=projection.skipped,
    )


def list_savings(functions: Iterable[Function]) -> list[float]:
    """Dollars a month of each function that would cost less if its advice were followed."""
    return [
        usd
        for function in functions
        if function.advice is not None and function.limits is not None
        if function.advice.memory_mb != function.limits.memory_mb
        if (usd := function.advice.savings_monthly_usd or 0.0) > 0
    ]


def estimate_rate(buckets: Sequence[Bucket], now_ms: int) -> float:
    """Results a second, over the newest bucket and the three before it."""
    seconds = 3 * _SECONDS + (now_ms - buckets[-1].begins_ms) / 1_000
    return sum(bucket.ended + bucket.unseen for bucket in buckets[-4:]) / seconds


def zoom(buckets: Sequence[Bucket]) -> Sequence[Bucket]:
    """All buckets, or the last third of them where nothing ended before."""
    third = len(buckets) // 3
    return buckets if any(one.ended + one.unseen for one in buckets[:-third]) else buckets[-third:]


def draw_throughput(buckets: Sequence[Bucket]) -> Markup:
    """A column for each bucket, what failed at its foot."""
    rates = [(bucket.ended + bucket.unseen) / _SECONDS for bucket in buckets]
    scale = charts.make_scale(max(rates))
    top, width = scale[-1], 1 / len(buckets)
    boxes = []
    for number, (bucket, rate) in enumerate(zip(buckets, rates, strict=True)):
        x = ((number + 0.12) * width, (number + 0.88) * width)
        failed = bucket.failed / _SECONDS
        text = f"{_tell(bucket)}: {describe_rate(rate)} a second, {bucket.failed} failed"
        if rate:
            boxes.append(charts.Box("succeeded", x, (failed / top, rate / top), text))
        if failed:
            boxes.append(charts.Box("failed", x, (0.0, failed / top), text))
    return charts.draw(
        charts.Chart(
            text=f"Results a second, last {_count_minutes(buckets)} minutes; "
            f"at most {describe_rate(max(rates))}",
            left=charts.make_ticks(scale, "/s"),
            below=_draw_times(buckets),
            boxes=boxes,
        )
    )


def draw_latency(buckets: Sequence[Bucket]) -> Markup:
    """The median and the 99th percentile of each bucket, by powers of ten; gaps are quiet times."""
    middles = [find_percentile_us(bucket.lengths, 0.5) for bucket in buckets]
    highs = [find_percentile_us(bucket.lengths, 0.99) for bucket in buckets]
    known = [us for us in (*middles, *highs) if us] or [1_000.0, 100_000.0]
    ticks, y = charts.make_decades(min(known), max(known), describe_decade)
    told = describe_us(max(known)) if any(highs) else "unknown: nothing ended"
    return charts.draw(
        charts.Chart(
            text=f"Latency, last {_count_minutes(buckets)} minutes; 99th percentile at most {told}",
            left=ticks,
            below=_draw_times(buckets),
            lines=[*_join("p99", highs, y), *_join("p50", middles, y)],
            dots=[
                charts.Dot(kind, _middle(number, values), y(us), f"{kind} {describe_us(us)}")
                for kind, values in (("p99", highs), ("p50", middles))
                for number, us in enumerate(values)
                if us
            ],
        )
    )


def describe_decade(us: float) -> str:
    """A power of ten, such as `10 ms`."""
    if us < 1_000:
        return f"{us:.0f} µs"
    return f"{us / 1_000:.0f} ms" if us < 1_000_000 else f"{us / 1_000_000:.0f} s"


def _join(
    kind: str, values: Sequence[float | None], y: Callable[[float], float]
) -> list[charts.Line]:
    """One line for each stretch without a gap."""
    lines: list[charts.Line] = []
    points: list[tuple[float, float]] = []
    for number, value in enumerate([*values, None]):
        if value is not None:
            points.append((_middle(number, values), y(value)))
        elif points:
            lines.append(charts.Line(kind, points))
            points = []
    return lines


def _middle(number: int, values: Sequence[object]) -> float:
    return (number + 0.5) / len(values)


def _count_minutes(buckets: Sequence[Bucket]) -> int:
    return len(buckets) * BUCKET_MS // 60_000


def _draw_times(buckets: Sequence[Bucket]) -> list[charts.Tick]:
    minutes = _count_minutes(buckets)
    step = 5 if minutes > 5 else 1
    ticks = [
        charts.Tick(1 - ago / minutes, f"\N{MINUS SIGN}{ago} min")
        for ago in range(minutes, 0, -step)
    ]
    return [*ticks, charts.Tick(1.0, "now")]


def _tell(bucket: Bucket) -> str:
    return describe_time(bucket.begins_ms).striptags() + " UTC"
