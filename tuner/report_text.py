"""The report in a terminal: one line a size, bars for duration and cost.

Not here: what is shown (`report`).
"""

from collections.abc import Iterator

from tuner.report import Report

_BAR = 24
_FIGURES, _NOTES = 49, 22  # columns of a line before and after the bars
_BAR_MIN = 8


def write(report: Report, width: int = 0) -> Iterator[str]:
    """The lines; no longer than `width` as a rule, unless that is 0."""
    bar, bar_of_cost = _share_out(width)
    yield f"{report.function_id}: {report.invocations:,} invocations at {report.limit_mb} MB"
    yield (
        f"  advised {report.memory_mb} MB ({report.memory_mb_min} to {report.memory_mb_max} MB are "
        f"as good), confidence {report.confidence}"
    )
    yield f"  saves {_describe_savings(report)}"
    yield f"  memory  peak {report.peak_mb:g} MB, floor {report.floor_mb} MB"
    yield f"  {'MB':>6} {'ms':>9} {'of ten, nine in':>17}  {'$/million':>9}"
    longest = max(point.duration_ms for point in report.curve)
    dearest = max(point.usd_per_million for point in report.curve)
    runs = {point.memory_mb: point.runs for point in report.seen}
    for point in report.curve:
        interval = f"{point.duration_ms_min:.1f}-{point.duration_ms_max:.1f}"
        notes = [
            *(["advised"] if point.memory_mb == report.memory_mb else []),
            *(["now"] if point.memory_mb == report.limit_mb else []),
            *([f"{runs[point.memory_mb]} runs"] if point.memory_mb in runs else []),
            *(["too little"] if point.memory_mb < report.floor_mb else []),
        ]
        duration = "#" * round(point.duration_ms / longest * bar)
        cost = "$" * round(point.usd_per_million / dearest * bar_of_cost)
        line = (
            f"  {point.memory_mb:>6} {point.duration_ms:>9.1f} {interval:>17}  "
            f"{point.usd_per_million:>9.3f} {duration:<{bar}} {cost:<{bar_of_cost}} "
            f"{', '.join(notes)}"
        )
        yield line.rstrip()


def _share_out(width: int) -> tuple[int, int]:
    """The bars of duration and cost; where there is room for one alone, the cost has its figure."""
    left = width - _FIGURES - _NOTES
    if not width or left >= 2 * _BAR:
        return _BAR, _BAR
    if left >= 2 * _BAR_MIN:
        return left // 2, left // 2
    return max(left, _BAR_MIN), 0


def _describe_savings(report: Report) -> str:
    percent = f"{report.savings_percent:g} % of the compute price"
    if report.savings_monthly_usd is None:
        return percent
    return (
        f"{percent}, ${report.savings_monthly_usd:,.4f} a month "
        f"(${report.savings_monthly_usd_min or 0:,.4f} to "
        f"${report.savings_monthly_usd_max or 0:,.4f})"
    )
