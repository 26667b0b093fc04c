"""`hearth result REQUEST_ID`: the document of a call that was sent before, by whomever.

Not here: how it looks (`document_text`).
"""

import json
from contextlib import suppress

import click
import msgspec

from cli.command import Command, as_json_option
from cli.document_text import write_document
from cli.failure import ExitCode, Failure, NoAnswer
from cli.invoke import make_sender
from cli.screen import find_width
from cli.sender import Document
from shared.aws import make_client
from shared.codec import UndecodableError, decode
from shared.events import ResultPublished, S3Object
from shared.log import Log
from shared.results import Results
from shared.settings import Settings
from shared.topology import PUBLICATIONS


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
    """Show the result document of a request, whoever sent it.

    It is in Redis for RESULT_TTL_S, and in S3 as long as the log tells where.

    Exit code: 0 it succeeded, 1 it failed, 3 there is no result (yet).
    """
    document = find_document(settings, request_id, wait_s)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(write_document(document, find_width()))
    if document["status"] != "SUCCESS":
        click.get_current_context().exit(ExitCode.FAILED)


def find_document(settings: Settings, request_id: str, wait_s: float) -> Document:
    """From Redis, after a while if need be, else from S3. Raises NoAnswer."""
    results = Results(settings.redis_address, settings.partitions)
    if kept := results.look_up([request_id]):
        document: Document = json.loads(kept[0])
        return document
    if place := find_place(results, settings.partitions, request_id):
        s3 = make_client(settings, "s3")
        stored: Document = json.loads(
            s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        )
        return stored
    if not wait_s:
        raise NoAnswer(
            f"There is no result of {request_id}: it may still run (--wait SECONDS waits for it), "
            f"or nobody sent it. `hearth tail --request {request_id} --no-follow` shows its events."
        )
    try:
        return make_sender(settings).wait(request_id, wait_s)
    except KeyboardInterrupt as interrupt:
        raise Failure("Interrupted.", ExitCode.INTERRUPTED) from interrupt


def find_place(log: Log, partitions: int, request_id: str) -> S3Object | None:
    """Where the document of a request was written, as far as the log goes back."""
    needle = msgspec.json.encode(request_id)  # most entries need no decoding
    for partition in range(partitions):
        for payload in log.newest(PUBLICATIONS, partition):
            if needle in payload and (event := _decode(payload, request_id)):
                return event.document
    return None


def _decode(payload: bytes, request_id: str) -> ResultPublished | None:
    with suppress(UndecodableError):
        event = decode(payload)
        if isinstance(event, ResultPublished) and event.invocation_id == request_id:
            return event
    return None
