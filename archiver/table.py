"""Entries as a table: the columns of the archive, and a Parquet file of them.

Not here: which entries (`closing`), where the file goes (`archiver`). One row is one entry, in the
order of the log: what the log holds is there byte for byte (`event`, or `payload` where it is no
text), and beside it, as columns, the header of the event and what the tuner folds. Nothing is
computed: a column is a field. The same entries give the same bytes.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from msgspec import Struct
from msgspec import json as msgspec_json

from shared.codec import UNREADABLE, UndecodableError, decode
from shared.events import InvocationProfiled
from shared.retention import Entries
from shared.stretch import parse_entry_id

# Column -> type in polars' words. Columns may be added; what is there keeps its meaning.
ENTRY = {
    "entry_id": "String",
    "entry_ms": "Int64",  # its two numbers, which sort as the log does
    "entry_number": "Int64",
    "event": "String",  # the JSON of the event
    "payload": "Binary",  # null, but for an entry that is no text
}
HEADER = {
    "type": "String",
    "event_id": "String",
    "invocation_id": "String",
    "causation_id": "String",
    "occurred_at_ms": "Int64",
    "schema_version": "Int64",
    "function_id": "String",
}
# Of InvocationProfiled; null in all other rows.
PROFILE = {
    "outcome": "String",
    "start": "String",
    "sandbox_id": "String",
    "memory_auto": "Boolean",
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
SCHEMA = {**ENTRY, **HEADER, **PROFILE}

_NO_PROFILE = (None,) * len(PROFILE)


class _Inner(Struct):
    function_id: str | None = None


class _Header(Struct):
    """Of any event; the function is named in it, or in its execution."""

    type: str | None = None
    event_id: str | None = None
    invocation_id: str | None = None
    causation_id: str | None = None
    occurred_at_ms: int | None = None
    schema_version: int = 1
    function_id: str | None = None
    execution: _Inner | None = None


_decoder = msgspec_json.Decoder(_Header)


def write_parquet(entries: Entries) -> bytes:
    """A file of some entries."""
    file = io.BytesIO()
    # Level 3 is a third smaller than none of zstd's cost would be; statistics let engines skip.
    to_frame(entries).write_parquet(
        file, compression="zstd", compression_level=3, statistics=True, row_group_size=10_000
    )
    return file.getvalue()


def to_frame(entries: Entries) -> pl.DataFrame:
    """The table of some entries."""
    series: list[pl.Series] = []
    ids = [parse_entry_id(entry_id) for entry_id, _ in entries]
    texts, payloads = _split([payload for _, payload in entries])
    columns: Iterable[Sequence[Any]] = (
        [entry_id for entry_id, _ in entries],
        [ms for ms, _ in ids],
        [number for _, number in ids],
        texts,
        payloads,
        *_transpose([_read_row(payload) for _, payload in entries]),
    )
    for (name, kind), column in zip(SCHEMA.items(), columns, strict=True):
        series.append(pl.Series(name, column, dtype=getattr(pl, kind), strict=True))
    return pl.DataFrame(series)


def _transpose(rows: Sequence[tuple[Any, ...]]) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * (len(HEADER) + len(PROFILE))


def _split(payloads: Sequence[bytes]) -> tuple[list[str | None], list[bytes | None]]:
    """What is text, and what is not."""
    texts: list[str | None] = []
    others: list[bytes | None] = []
    for payload in payloads:
        try:
            text: str | None = payload.decode()
        except UnicodeDecodeError:
            text = None
        texts.append(text)
        others.append(payload if text is None else None)
    return texts, others


def _read_row(payload: bytes) -> tuple[Any, ...]:
    try:
        header = _decoder.decode(payload)
    except UNREADABLE:
        return (None,) * (len(HEADER) + len(PROFILE))
    inner = header.execution
    fields = (
        header.type,
        header.event_id,
        header.invocation_id,
        header.causation_id,
        header.occurred_at_ms,
        header.schema_version,
        header.function_id if inner is None else inner.function_id,
    )
    if header.type != "InvocationProfiled":
        return fields + _NO_PROFILE
    try:
        event = decode(payload)
    except UndecodableError:  # the tuner buries it: no row of its history
        return fields + _NO_PROFILE
    assert isinstance(event, InvocationProfiled)
    return fields + _read_profile(event)


def _read_profile(event: InvocationProfiled) -> tuple[Any, ...]:
    execution, profile, phases = event.execution, event.profile, event.execution.phases
    limits, missing = execution.limits, profile.missing
    return (
        execution.outcome.value,
        execution.start.value,
        execution.sandbox_id,
        execution.memory_auto,
        *((limits.memory_mb, limits.timeout_ms, limits.cpu_quota_us, limits.cpu_period_us)
          if limits else (None, None, None, None)),
        phases.queued_us,
        phases.code_us,
        phases.sandbox_us,
        phases.init_us,
        phases.run_us,
        execution.input_bytes,
        None if "cpu_user_us" in missing else profile.cpu_user_us,
        None if "cpu_system_us" in missing else profile.cpu_system_us,
        profile.throttled_us,
        profile.memory_peak_bytes,
        profile.memory_baseline_bytes,
        profile.memory_accuracy.value,
        profile.oom_kills,
    )  # fmt: skip
