"""A result document as people read it: log, result, profile, advice. Pure.

Not here: the document (`publisher/document`), many of them (`summary`). All figures are the
document's own; what it does not say is not shown.
"""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from cli.profile_text import draw_bar, draw_legend
from profiler.view import format_us, list_parts
from shared.events import Breakdown

Document = dict[str, Any]

WIDTH = 64
_GOOD = "SUCCESS"
_PHASES = (
    ("queuedMs", "queued"),
    ("inputMs", "input"),
    ("codeMs", "code"),
    ("sandboxMs", "sandbox"),
    ("initMs", "init"),
)


def write_document(document: Document, width: int = 0) -> str:
    """Several lines, with colours that `click.echo` takes away for a file.

    The advice is folded at `width`, unless that is 0.
    """
    sections = [
        [write_title(document)],
        _under("log", list(write_log(document))),
        _under("error", list(write_error(document))),
        _under("result", list(write_output(document))),
        _under("profile", list(write_profile(document))),
        _under("advice", list(write_advice(document, width))),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def write_title(document: Document) -> str:
    """Which, how it ended, how long it took."""
    status = click.style(
        document["status"], fg="green" if document["status"] == _GOOD else "red", bold=True
    )
    words = [click.style(document["requestId"], bold=True), status]
    if document["start"]:
        words += [f"{document['start']} start", format_ms(document["durationMs"])]
    if document["attempt"] > 1:
        words.append(f"attempt {document['attempt']}")
    return " · ".join(words)


def write_log(document: Document) -> Iterator[str]:
    """What the function wrote, without the platform's own lines around it."""
    lines = document["logs"].splitlines()
    if lines and lines[0].startswith("START RequestId: "):
        lines = lines[1:-2]
    yield from lines
    if place := document.get("logsS3"):
        yield click.style(f"... all of it: s3://{place['bucket']}/{place['key']}", dim=True)
    elif document["logsTruncated"]:
        yield click.style("... cut here: it was longer than LOGS_INLINE_BYTES_MAX", dim=True)


def write_error(document: Document) -> Iterator[str]:
    """Why there is no result, with the function's own lines of the stack."""
    error = document["error"]
    if error is None:
        return
    yield click.style(f"{error['type']}: {error['message']}", fg="red")
    for frame in error["stack"]:
        yield from frame.rstrip().splitlines()


def write_output(document: Document) -> Iterator[str]:
    """What the function gave back, and the files that it left."""
    if place := document.get("outputS3"):
        yield f"s3://{place['bucket']}/{place['key']}"
    elif document["status"] == _GOOD:
        yield from json.dumps(document["output"], ensure_ascii=False, indent=None).splitlines()
    for place in document["outputFiles"]:
        yield f"s3://{place['bucket']}/{place['key']}"
    if place := document.get("outputFilesS3"):
        yield f"the list of its files: s3://{place['bucket']}/{place['key']}"


def write_profile(document: Document) -> Iterator[str]:
    """Where the time went, what was used, what came before the run."""
    breakdown = document["breakdown"]
    if breakdown:
        parts = list_parts(read_breakdown(breakdown))
        if parts:
            yield draw_bar(tuple(parts), WIDTH)
            yield from draw_legend(tuple(parts), round(document["durationMs"] * 1_000))
    if used := document["resources"]:
        yield f"memory  {describe_memory(used)}"
        yield f"CPU     {describe_cpu(used)}"
    if document["start"]:
        phases = document["phases"]
        before = [f"{name} {format_ms(phases[key])}" for key, name in _PHASES if phases.get(key)]
        if before:
            yield f"before  {', '.join(before)}"


def write_advice(document: Document, width: int = 0) -> Iterator[str]:
    """The tip, and how sure it is."""
    advice = document["autoTuner"]
    if advice is not None:
        text = f"{advice['tip']} (confidence {advice['confidence']})"
        yield from textwrap.wrap(text, max(width - 4, 40)) if width else [text]


def read_breakdown(breakdown: dict[str, float]) -> Breakdown:
    """The document's `breakdown` in the units of the events."""
    us = {}
    for field in Breakdown.__struct_fields__:
        head, *tail = field.removesuffix("_us").split("_")
        us[field] = round(breakdown["".join([head, *map(str.title, tail)]) + "Ms"] * 1_000)
    return Breakdown(**us)


def describe_memory(used: dict[str, Any]) -> str:
    """The peak against the limit."""
    if used["memoryUsedMb"] is None:
        return "not measured: see `hearth doctor`"
    accuracy = used["memoryAccuracy"].replace("_", " ")
    return f"peak {used['memoryUsedMb']} of {used['memoryLimitMb']} MB ({accuracy})"


def describe_cpu(used: dict[str, Any]) -> str:
    """CPU time, of one core."""
    cpu_us = used["cpuUserMicros"] + used["cpuSystemMicros"]
    text = f"{format_us(cpu_us)}, {used['cpuUsagePercent']:.0f} % of a core"
    if used["throttledMicros"]:
        text += f"; throttled {format_us(used['throttledMicros'])}"
    return text


def format_ms(ms: float) -> str:
    """Such as `402.4 ms`."""
    return format_us(round(ms * 1_000))


def _under(heading: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return [click.style(heading, fg="cyan"), *(f"  {line}".rstrip() for line in lines)]
