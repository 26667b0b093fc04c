"""Profiles as columns: the table that the archive holds, and the facts in it.

Not here: where the files lie (`history`). polars is imported only where columns are used: `pip
install "hearth[columns]"`.

One row is one InvocationProfiled. `order` sorts a function's events as the log had them. Nothing is
computed here: a column is a field of the event, and the same facts come out as of the event.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from shared.events import Accuracy, InvocationProfiled, Outcome, Start
from tuner.facts import Facts
from tuner.samples import is_proportional

if TYPE_CHECKING:
    import polars as pl

# Column -> type in polars' words. What an archive holds besides these is passed over.
SCHEMA = {
    "order": "String",  # the entry id in its stream, digits padded so that text sorts as numbers
    "event_id": "String",
    "invocation_id": "String",
    "occurred_at_ms": "Int64",
    "function_id": "String",
    "outcome": "String",
    "start": "String",
    "sandbox_id": "String",
    "memory_mb": "Int64",  # null: it never ran
    "timeout_ms": "Int64",
    "cpu_quota_us": "Int64",  # null: the CPU was not limited
    "cpu_period_us": "Int64",
    "queued_us": "Int64",
    "code_us": "Int64",
    "sandbox_us": "Int64",
    "init_us": "Int64",
    "run_us": "Int64",
    "input_bytes": "Int64",
    "cpu_user_us": "Int64",  # null: not measured
    "cpu_system_us": "Int64",
    "throttled_us": "Int64",
    "memory_peak_bytes": "Int64",
    "memory_baseline_bytes": "Int64",
    "memory_accuracy": "String",
    "oom_kills": "Int64",
}

_WANTED = (
    "function_id", "event_id", "occurred_at_ms", "sandbox_id", "memory_mb", "cpu_quota_us",
    "cpu_period_us", "start", "outcome", "run_us", "init_us", "cpu_user_us", "cpu_system_us",
    "throttled_us", "memory_peak_bytes", "memory_baseline_bytes", "memory_accuracy", "oom_kills",
    "input_bytes",
)  # fmt: skip


def to_row(order: str, event: InvocationProfiled) -> dict[str, Any]:
    """The row of an event; `order` is its entry id."""
    execution, profile, phases = event.execution, event.profile, event.execution.phases
    limits, missing = execution.limits, frozenset(profile.missing)
    milliseconds, _, number = order.partition("-")
    return {
        "order": f"{int(milliseconds or 0):016d}-{int(number or 0):08d}",
        "event_id": event.event_id,
        "invocation_id": event.invocation_id,
        "occurred_at_ms": event.occurred_at_ms,
        "function_id": execution.function_id,
        "outcome": execution.outcome.value,
        "start": execution.start.value,
        "sandbox_id": execution.sandbox_id,
        "memory_mb": limits.memory_mb if limits else None,
        "timeout_ms": limits.timeout_ms if limits else None,
        "cpu_quota_us": limits.cpu_quota_us if limits else None,
        "cpu_period_us": limits.cpu_period_us if limits else None,
        "queued_us": phases.queued_us,
        "code_us": phases.code_us,
        "sandbox_us": phases.sandbox_us,
        "init_us": phases.init_us,
        "run_us": phases.run_us,
        "input_bytes": execution.input_bytes,
        "cpu_user_us": None if "cpu_user_us" in missing else profile.cpu_user_us,
        "cpu_system_us": None if "cpu_system_us" in missing else profile.cpu_system_us,
        "throttled_us": profile.throttled_us,
        "memory_peak_bytes": profile.memory_peak_bytes,
        "memory_baseline_bytes": profile.memory_baseline_bytes,
        "memory_accuracy": profile.memory_accuracy.value,
        "oom_kills": profile.oom_kills,
    }


def to_frame(rows: Iterable[dict[str, Any]]) -> "pl.DataFrame":
    """The table of some rows, with the types of SCHEMA."""
    import polars as pl  # noqa: PLC0415

    schema = {name: getattr(pl, kind) for name, kind in SCHEMA.items()}
    return pl.DataFrame(list(rows), schema=schema)


def read_frame(frame: "pl.DataFrame") -> Iterator[tuple[str, Facts]]:
    """Function and facts of each invocation that ran, in the order of the rows."""
    import polars as pl  # noqa: PLC0415

    ran = frame.filter(
        pl.col("memory_mb").is_not_null()
        & (pl.col("start") != Start.NONE.value)
        & (pl.col("outcome") != Outcome.REJECTED.value)
    )
    for row in ran.select(_WANTED).iter_rows():
        yield row[0], _read_row(row)


def _read_row(row: tuple[Any, ...]) -> Facts:
    (_, event_id, at_ms, sandbox_id, memory_mb, quota_us, period_us, start, outcome, run_us,
     init_us, user_us, system_us, throttled_us, peak_bytes, baseline_bytes, accuracy, oom_kills,
     input_bytes) = row  # fmt: skip
    succeeded = outcome == "succeeded" and run_us > 0
    knows_cpu = user_us is not None and system_us is not None
    return Facts(
        event_id,
        at_ms,
        sandbox_id,
        memory_mb,
        quota_us,
        period_us,
        start == "cold",
        succeeded and (knows_cpu or not is_proportional(memory_mb, quota_us, period_us)),
        outcome == "out_of_memory" or oom_kills > 0,
        run_us,
        init_us,
        user_us + system_us if knows_cpu else 0,
        throttled_us,
        None if accuracy == Accuracy.NONE.value else peak_bytes,
        baseline_bytes,
        input_bytes,
    )
