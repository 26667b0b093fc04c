"""`hearth result REQUEST_ID`: the document of a call that was sent before, by whomever.

Not here: how it looks (`document_text`).
"""

import json

import click

from cli.command import Command, as_json_option
from cli.document_text import write_document
from cli.failure import ExitCode, Failure
from cli.invoke import make_sender
from shared.settings import Settings


@click.command(
    cls=Command,
    short_help="The result of a call that was sent before.",
    examples=(
        ("hearth result hello-5d31f0aa", "as it is, or as soon as it is there"),
        ("hearth result req-25 --json | jq .status", "of any sender's request"),
    ),
)
@click.argument("request_id")
@click.option("--wait", "wait_s", type=click.FloatRange(0), default=0, metavar="SECONDS",
              help="How long to wait for it.")  # fmt: skip
@as_json_option
@click.pass_obj
def result(settings: Settings, /, request_id: str, *, wait_s: float, as_json: bool) -> None:
    """Show the result document of a request: from Redis, where it is kept for RESULT_TTL_S.

    Exit code: 0 it succeeded, 1 it failed, 3 there is no result (yet).
    """
    try:
        document = make_sender(settings).wait(request_id, wait_s)
    except KeyboardInterrupt as interrupt:
        raise Failure("Interrupted.", ExitCode.INTERRUPTED) from interrupt
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(write_document(document))
    if document["status"] != "SUCCESS":
        click.get_current_context().exit(ExitCode.FAILED)
