"""Arrivals to replay: a trace of real ones from a file, and made ones with published statistics.

Times are ms since the first arrival. Made ones are the same for the same seed.
"""

import csv
import gzip
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TRACE_MEMORY_MB = 128  # the trace does not say; functions of it used 54 MB


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """One invocation as it comes."""

    at_ms: int
    function_id: str
    run_ms: int
    memory_mb: int
    cold_ms: int  # what a cold start adds


def read_trace(path: Path) -> list[Arrival]:
    """The invocations of a CSV file, .gz or plain; each experiment is a function from time 0.

    Columns `experiment`, `client_start_time` (s) and, where present, `aws_duration` (ms) or
    `client_end_time` (s), `memory_mb`, `cold_ms`. Raises ValueError or KeyError for another file.
    """
    with _open(path) as file:
        rows = list(csv.DictReader(file))
    began: dict[str, float] = {}
    for row in rows:
        at = float(row["client_start_time"])
        began[row["experiment"]] = min(at, began.get(row["experiment"], at))
    return sorted(
        Arrival(
            at_ms=round((float(row["client_start_time"]) - began[row["experiment"]]) * 1_000),
            function_id=row["experiment"],
            run_ms=max(round(_run_ms(row)), 1),
            memory_mb=int(row.get("memory_mb") or TRACE_MEMORY_MB),
            cold_ms=int(row.get("cold_ms") or 250),
        )
        for row in rows
    )


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="")
    return path.open(newline="")


def _run_ms(row: dict[str, str]) -> float:
    if row.get("aws_duration"):
        return float(row["aws_duration"])
    return (float(row["client_end_time"]) - float(row["client_start_time"])) * 1_000


def make_arrivals(seed: int, functions: int = 160, days: int = 2) -> list[Arrival]:
    """Arrivals as Serverless in the Wild counted them on Azure (ATC'20; mikhail.io's review).

    Functions by rate: 45 % at most one an hour, 36 % more up to one a minute, the rest above; 16 %
    are timers; the rate doubles from the day's depth to its height. Ours: rates are spread evenly
    on a logarithmic scale within each class, down to one a day and up to one in 20 s (faster ones
    would only hide the rest: they are never cold); a third of the others come in bursts of 2 to 6.
    """
    chance = random.Random(seed)
    return sorted(
        arrival
        for number in range(functions)
        for arrival in _make_function(chance, f"function-{seed}-{number}", days * DAY_MS)
    )


def _make_function(chance: random.Random, name: str, end_ms: int) -> Iterator[Arrival]:
    low, high = chance.choices([(1 / 24, 1), (1, 60), (60, 180)], [45, 36, 19])[0]
    an_hour = math.exp(chance.uniform(math.log(low), math.log(high)))
    run_ms = math.exp(chance.gauss(math.log(1_000), 2.0))  # 50 % below 1 s; below 0.1 s about 13 %
    memory_mb = chance.choice([128, 128, 256, 256, 512, 1_024])
    cold_ms = round(math.exp(chance.gauss(math.log(250), 0.7)))
    timer = chance.random() < 0.16
    burst = 1 if timer or chance.random() < 2 / 3 else chance.randint(2, 6)
    times = _tick if timer else _swing
    for at_ms in times(chance, burst * HOUR_MS / an_hour, end_ms):
        for number in range(burst):
            yield Arrival(
                at_ms + number * 100,
                name,
                max(round(min(run_ms * chance.lognormvariate(0, 0.3), 300_000)), 1),
                memory_mb,
                cold_ms,
            )


def _tick(chance: random.Random, gap_ms: float, end_ms: int) -> Iterator[int]:
    """A timer of whole minutes, a little late each time."""
    period_ms = max(round(gap_ms / 60_000), 1) * 60_000
    for at_ms in range(chance.randrange(period_ms), end_ms, period_ms):
        yield at_ms + chance.randrange(2_000)


def _swing(chance: random.Random, gap_ms: float, end_ms: int) -> Iterator[int]:
    """Poisson arrivals whose rate is twice as high at the day's height as in its depth."""
    at_ms = 0.0
    while True:
        at_ms += chance.expovariate(4 / 3 / gap_ms)
        if at_ms >= end_ms:
            return
        share = 0.75 + 0.25 * math.sin(2 * math.pi * at_ms / DAY_MS)
        if chance.random() < share:
            yield int(at_ms)
