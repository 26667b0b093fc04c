"""Rows of the archive as facts: columns are read, not one object for each event.

Not here: which files (`history`), how they are written (`archiver.table`). The same facts come out
as of the events; a test compares. What can be said of a whole column is computed there, by polars.
"""

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

import polars as pl

from shared.events import Accuracy, Outcome, Start
from shared.stretch import parse_entry_id
from shared.whole_log import Span
from tuner.bandwidth import MB_PER_CORE, QUOTA_US_MIN
from tuner.facts import Facts

_FIELDS = (
    "event_id", "occurred_at_ms", "sandbox_id", "memory_mb", "cpu_quota_us", "cpu_period_us",
    "start", "outcome", "run_us", "init_us", "cpu_user_us", "cpu_system_us", "throttled_us",
    "memory_peak_bytes", "memory_baseline_bytes", "memory_accuracy", "oom_kills", "input_bytes",
)  # fmt: skip
_PLACE = ("entry_ms", "entry_number", "entry_id")
_AUTO = ("memory_auto", "event")


class Row(NamedTuple):
    """One invocation that ran, with its place in the log."""

    entry_id: str
    function_id: str
    event: str | None  # its JSON, where the function takes the tuner's limit
    facts: Facts


def load_frame(content: bytes, span: Span, *, with_events: bool = False) -> pl.DataFrame:
    """The columns of a file, of the rows that lie in a span."""
    columns = ["function_id", *_PLACE, *_FIELDS, *(_AUTO if with_events else ())]
    frame = pl.read_parquet(io.BytesIO(content), columns=columns, hive_partitioning=False)
    return frame.filter(_comes_after(span.after) & ~_comes_after(span.until))


def read_frame(frame: pl.DataFrame) -> Iterator[tuple[str, Facts]]:
    """Function and facts of each invocation that ran, in the order of the rows."""
    rows = _select_ran(frame).select("function_id", *_make_facts()).iter_rows()
    make = Facts._make
    for row in rows:
        yield row[0], make(row[1:])


def read_functions(frame: pl.DataFrame) -> Iterator[tuple[str, Iterator[Facts]]]:
    """Each function with its facts, in their order: one function after another is faster to fold.

    Each is to be read to its end before the next.
    """
    ran = _select_ran(frame).sort("function_id", maintain_order=True)
    rows = cast("Iterator[Facts]", ran.select(*_make_facts()).iter_rows())  # tuples are enough
    runs = ran.get_column("function_id").rle().struct
    lengths, names = runs.field("len").to_list(), runs.field("value").to_list()
    for function_id, length in zip(names, lengths, strict=True):
        yield function_id, islice(rows, length)


def read_rows(frame: pl.DataFrame) -> Iterator[Row]:
    """The same with entry id and, of functions that take the tuner's limit, the whole event."""
    event = pl.when(pl.col("memory_auto")).then(pl.col("event"))
    chosen = _select_ran(frame).select("entry_id", "function_id", event, *_make_facts())
    for row in chosen.iter_rows():
        yield Row(row[0], row[1], row[2], Facts._make(row[3:]))


def _comes_after(entry_id: str) -> pl.Expr:
    milliseconds, number = parse_entry_id(entry_id)
    ms, within = pl.col("entry_ms"), pl.col("entry_number")
    return (ms > milliseconds) | ((ms == milliseconds) & (within > number))


def _select_ran(frame: pl.DataFrame) -> pl.DataFrame:
    """As `facts.has_run`."""
    return frame.filter(
        pl.col("memory_mb").is_not_null()
        & (pl.col("start") != Start.NONE.value)
        & (pl.col("outcome") != Outcome.REJECTED.value)
    )


def _make_facts() -> tuple[Any, ...]:
    """As `facts.read_facts`, field by field in the order of `Facts`."""
    quota, period = pl.col("cpu_quota_us"), pl.col("cpu_period_us")
    share = pl.max_horizontal(pl.col("memory_mb") * period // MB_PER_CORE, pl.lit(QUOTA_US_MIN))
    is_proportional = quota.is_not_null() & (period > 0) & ((quota - share).abs() <= 1)
    succeeded = (pl.col("outcome") == Outcome.SUCCEEDED.value) & (pl.col("run_us") > 0)
    cpu = pl.col("cpu_user_us") + pl.col("cpu_system_us")  # null where one of them is not known
    out_of_memory = pl.col("outcome") == Outcome.OUT_OF_MEMORY.value
    is_measured = pl.col("memory_accuracy") != Accuracy.NONE.value
    return (
        "event_id",
        "occurred_at_ms",
        "sandbox_id",
        "memory_mb",
        "cpu_quota_us",
        "cpu_period_us",
        (pl.col("start") == Start.COLD.value).alias("is_cold"),
        (succeeded & (cpu.is_not_null() | ~is_proportional.fill_null(value=False))).alias(
            "is_timed"
        ),
        (out_of_memory | (pl.col("oom_kills") > 0)).alias("ran_out_of_memory"),
        "run_us",
        "init_us",
        cpu.fill_null(0).alias("cpu_us"),
        "throttled_us",
        pl.when(is_measured).then(pl.col("memory_peak_bytes")).alias("peak_bytes"),
        "memory_baseline_bytes",
        "input_bytes",
    )
