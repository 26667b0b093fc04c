"""The file of measured functions: its columns, and which runs of it count.

Not here: how it is made (`measure_functions`), what is concluded from it (`tuning`).

Which runs count was fixed before the first collection. A run is disturbed when something else on
the host took CPU time that it was granted: it stood in the run queue without being throttled for
more than 5 % of the run and a millisecond (its main thread); other processes left less of the host
than the function may use at once; or the hypervisor stole more than a tick. The first call in a
sandbox is a cold start. Disturbed and cold runs are not used; nothing is left out for being slow
or fast.
"""

import csv
import gzip
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from msgspec import Struct, convert
from msgspec.structs import astuple

HOST_CORES = 1.9  # of two; the rest is the kernel's own work
STOLEN_US_MAX = 10_000  # one tick of the counter
QUEUED_RATIO_MAX = 0.05
QUEUED_US_MIN = 1_000
OTHERS_US_MIN = 2_000  # what measuring itself takes
FILE = Path(__file__).parent / "measured_functions.csv"


class Run(Struct, frozen=True, kw_only=True):
    """One invocation, as a Profile holds it, and what the host did meanwhile. Times in us."""

    function: str
    family: str
    runtime: str
    memory_mb: int
    quota_us: int
    period_us: int
    round: int  # 0 is the cold start
    size: float  # the input: 1.0 is the usual one
    input_bytes: int
    run_us: int
    cpu_user_us: int
    cpu_system_us: int
    throttled_us: int
    throttled_periods: int
    on_cpu_us: int  # the breakdown
    throttled_wall_us: int
    waiting_us: int
    peak_bytes: int
    baseline_bytes: int
    delay_us: int  # of the main thread: runnable but not running, throttled or queued
    others_us: int  # CPU time of everything else on the host
    stolen_us: int  # by the hypervisor


def is_usable(run: Run) -> bool:
    """Whether the run is warm and had the CPU that it was granted."""
    share = run.quota_us / run.period_us
    room_us = run.run_us * (HOST_CORES - max(1.0, share)) + OTHERS_US_MIN
    has_room = run.others_us <= room_us
    queued_us = run.delay_us - run.throttled_us
    has_core = queued_us <= max(QUEUED_US_MIN, run.run_us * QUEUED_RATIO_MAX)
    return run.round > 0 and has_room and has_core and run.stolen_us <= STOLEN_US_MAX


def read_runs(path: Path) -> Iterator[Run]:
    """Every run of a file, plain or .gz; lines that begin with # say how it was made.

    A column that is not known is passed over. Raises msgspec.ValidationError where one is missing.
    """
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        yield convert(row, Run, strict=False)


def format_row(values: tuple[object, ...]) -> str:
    """One line of CSV."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def format_run(run: Run) -> str:
    """The line of a run."""
    return format_row(astuple(run))
