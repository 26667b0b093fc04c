"""`hearth tail`: events as they are appended, one a line.

Not here: how an event reads (`event_line`), the streams (`shared/follower`).
"""

import json
from typing import Any

import click

from cli.command import Command, as_json_option
from cli.event_line import Wanted, write_line
from cli.moment import Moment
from shared.codec import UndecodableError, decode
from shared.events import Outcome
from shared.follower import Follower
from shared.settings import Settings
from shared.topology import STREAMS

_BLOCK_MS = 500


@click.command(
    cls=Command,
    short_help="Events as they happen, filtered.",
    examples=(
        ("hearth tail", "everything from now on"),
        ("hearth tail --function thumb --outcome failed", "what fails of one function"),
        ("hearth tail --request req-25 --since 1h --no-follow", "the life of one request"),
        ("hearth tail --stream executions --json | jq .event", "one stream, for programs"),
    ),
)
@click.option("--function", "function_id", default="", help="Of this function alone.")
@click.option("--request", "request_id", default="", help="Of this request alone.")
@click.option("--outcome", type=click.Choice([one.value for one in Outcome]),
              help="Of invocations that ended so.")  # fmt: skip
@click.option("--stream", "streams", multiple=True,
              type=click.Choice([stream.name for stream in STREAMS]),
              help="Of this stream alone; may be given several times.")  # fmt: skip
@click.option("--since", type=Moment(), help="Begin earlier: 10m, 2h, 7d, or a date.")
@click.option("--no-follow", is_flag=True, help="End with what is there now.")
@as_json_option
@click.pass_obj
def tail(settings: Settings, /, **options: Any) -> None:
    """Print events as they are appended to the log, until Ctrl-C.

    --json prints each on a line of its own: its stream, its entry id, the event as it is stored
    (docs/events.md).
    """
    wanted = Wanted(options["function_id"], options["request_id"], options["outcome"] or "")
    streams = [one for one in STREAMS if not options["streams"] or one.name in options["streams"]]
    follower = Follower(settings.redis_address, settings.partitions, streams)
    since_ms = options["since"]
    follower.start(0 if since_ms is None and options["no_follow"] else since_ms)
    try:
        _follow(follower, wanted, options)
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal shows ^C on the line that was begun


def _follow(follower: Follower, wanted: Wanted, options: dict[str, Any]) -> None:
    block_ms = 0 if options["no_follow"] else _BLOCK_MS
    while True:
        entries = follower.read(block_ms)
        for stream, entry_id, payload in entries:
            try:
                event = decode(payload)
            except UndecodableError as error:
                click.echo(f"{stream.name} {entry_id} is no event: {error}", err=True)
                continue
            if not wanted.covers(event):
                continue
            if options["as_json"]:
                row = {"stream": stream.name, "entryId": entry_id, "event": json.loads(payload)}
                click.echo(json.dumps(row, ensure_ascii=False))
            else:
                click.echo(write_line(event))
        if options["no_follow"] and not entries:
            return
