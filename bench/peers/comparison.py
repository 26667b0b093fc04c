"""Hearth beside its peers: the same handlers, one after another on the same machine.

    python -m bench --only peers [--quick]

Hearth's rows go through all five stages with Redis' append-only file on; documents in S3 are left
out, as the peers write none. `bare` is Hearth without sandboxes and readings: what they cost is the
difference.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers import table
from bench.warm import measure_latency, measure_throughput, start

_BARE = ("bench.bare_executor",)


class Counts(NamedTuple):
    """How many calls of each kind."""

    runs: int
    noop: int
    five_ms: int


_WHOLE = Counts(1_000, 10_000, 2_000)
_QUICK = Counts(200, 2_000, 400)


def measure(sandbox: str, sandboxes: int, *, quick: bool) -> dict[str, Any]:
    """The figures of Hearth, of Hearth bare, and of each peer."""
    counts = _QUICK if quick else _WHOLE
    rows = {
        "hearth": _measure_hearth(sandbox, sandboxes, counts, ("cli.main", "run", "executor")),
        "hearth_bare": _measure_hearth(sandbox, sandboxes, counts, _BARE),
    }
    peers = table.measure(*counts)
    return {"versions": peers["versions"], "rows": rows | peers["rows"]}


def _measure_hearth(
    sandbox: str, sandboxes: int, counts: Counts, executor: tuple[str, ...]
) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        start(Path(folder), sandbox, sandboxes, executor=executor) as stack,
    ):
        measure_latency(stack, 100, "warm-up")
        times = sorted(measure_latency(stack, counts.runs, "one"))
        measure_throughput(stack, 500, "warm-up-many")
        noop = measure_throughput(stack, counts.noop, "many")
        measure_throughput(stack, 100, "warm-up-five", "five_ms")
        five_ms = measure_throughput(stack, counts.five_ms, "five", "five_ms")
    return {
        "p50_ms": round(statistics.median(times), 3),
        "p99_ms": round(times[int(len(times) * 0.99)], 3),
        "noop_per_second": round(noop),
        "five_ms_per_second": round(five_ms),
    }
