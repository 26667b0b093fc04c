"""`hearth profile REQUEST_ID`: where the time and memory of one invocation went."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from cli.command import Command, as_json_option
from cli.failure import Failure
from cli.profile_svg import draw_svg
from cli.profile_text import draw_text
from profiler.view import View, make_view
from shared.codec import UndecodableError, decode
from shared.events import InvocationFinished, InvocationProfiled, InvocationTuned
from shared.log import Log
from shared.settings import Settings
from shared.topology import EXECUTIONS, PROFILES, RECOMMENDATIONS, Stream

Known = InvocationFinished | InvocationProfiled | InvocationTuned


@click.command(
    cls=Command,
    short_help="Where the time and memory of one invocation went.",
    examples=(
        ("hearth profile req-25", "in the terminal"),
        ("hearth profile req-25 --svg req-25.svg", "as a picture"),
        ("hearth profile req-25 --json | jq .profile.breakdown", "for programs"),
    ),
)
@click.argument("request_id")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the picture to this file.")
@as_json_option
@click.pass_obj
def profile(settings: Settings, request_id: str, *, svg: Path | None, as_json: bool) -> None:
    """Show the breakdown of an invocation, what it used, and both over time if it was long.

    The raw readings are read anew where they are still in the log; otherwise the profile that was
    made of them is shown, which has no curves.
    """
    log = Log(settings.redis_address, settings.partitions)
    event = find(log, settings.partitions, request_id)
    if event is None:
        raise Failure(
            f"No invocation {request_id} in the log. It may still run, or be trimmed: "
            f"`hearth result {request_id}` looks for its document."
        )
    view = make_view(request_id, event)
    if svg is not None:
        svg.write_text(draw_svg(view))
    if as_json:
        click.echo(msgspec.json.encode(describe_view(request_id, view)))
    elif svg is None:
        click.echo(draw_text(view))


def find(log: Log, partitions: int, request_id: str) -> Known | None:
    """The newest event that tells of the invocation, with raw readings if possible."""
    for stream in (EXECUTIONS, PROFILES, RECOMMENDATIONS):
        for partition in range(partitions):
            for event in _search(log, stream, partition, request_id):
                return event
    return None


def describe_view(request_id: str, view: View) -> dict[str, object]:
    """Everything the picture shows, in the units of the events."""
    return {
        "request_id": request_id,
        "function_id": view.execution.function_id,
        "outcome": view.execution.outcome,
        "start": view.execution.start,
        "limits": view.execution.limits,
        "phases": view.execution.phases,
        "profile": view.profile,
        "series": [point._asdict() for point in view.points],
    }


def _search(log: Log, stream: Stream, partition: int, request_id: str) -> Iterator[Known]:
    needle = msgspec.json.encode(request_id)  # most entries need no decoding
    for payload in log.newest(stream, partition):
        if needle not in payload:
            continue
        try:
            event = decode(payload)
        except UndecodableError:
            continue
        if (
            isinstance(event, InvocationFinished | InvocationProfiled | InvocationTuned)
            and event.invocation_id == request_id
        ):
            yield event
