"""`hearth rerun REQUEST_ID`: a past invocation again, both profiles side by side.

Not here: the comparison (`comparison`), sending (`sender`).
"""

import json
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from botocore.exceptions import ClientError

from cli.command import Command, as_json_option
from cli.comparison import compare, list_rows
from cli.deploy import Memory
from cli.document_text import write_document
from cli.failure import ExitCode, Failure
from cli.invoke import make_prefix, make_sender
from cli.profile import describe_view, find
from cli.screen import find_width, print_json, print_rows
from cli.sender import Document, Message
from profiler.view import View, make_view
from shared.aws import make_client
from shared.codec import UndecodableError, decode
from shared.events import InvocationRejected, InvocationRequested
from shared.log import Log
from shared.settings import Settings
from shared.topology import REQUESTS
from tuner.adviser import make_adviser
from tuner.price_lists import PriceBookError

_PATIENCE_SECONDS = 60.0


@click.command(
    cls=Command,
    short_help="A past invocation again, side by side.",
    examples=(
        ("hearth rerun req-25", "the same again"),
        ("hearth rerun req-25 --memory 1024", "would more memory have been faster?"),
    ),
)
@click.argument("request_id")
@click.option("--memory", "memory_mb", type=Memory(),
              help="MB, or `auto`; as it was if not given.")  # fmt: skip
@click.option("--wait", "wait_s", type=click.FloatRange(0.1), metavar="SECONDS",
              help="How long to wait; the time-out and a minute if not given.")  # fmt: skip
@as_json_option
@click.pass_obj
def rerun(settings: Settings, /, request_id: str, **options: Any) -> None:
    """Send a past request again, with the same archive, input and environment, and compare.

    The request is read from the log, so it must still be there. Its archive is the one of the same
    hash where the request named one, as those of `hearth invoke` do; else you are told whether the
    archive was replaced since. A function with effects has them again.

    Exit code: 0 it succeeded, 1 it failed, 3 no answer in time.
    """
    log = Log(settings.redis_address, settings.partitions)
    asked = find_request(log, settings.partitions, request_id)
    before = _find_view(log, settings.partitions, request_id)
    _check_archive(settings, asked)
    prefix = make_prefix(request_id)
    message = repeat(asked, prefix, options["memory_mb"])
    wait_s = options["wait_s"] or asked.timeout_ms / 1_000 + _PATIENCE_SECONDS
    document = _call(settings, message, prefix, wait_s)
    now = _find_view(log, settings.partitions, prefix)
    if options["as_json"]:
        views = {"before": describe_view(request_id, before), "now": describe_view(prefix, now)}
        print_json({**msgspec.to_builtins(views), "document": document})
    else:
        _show(settings, before, now, document)
    if document["status"] != "SUCCESS":
        click.get_current_context().exit(ExitCode.FAILED)


def find_request(log: Log, partitions: int, request_id: str) -> InvocationRequested:
    """The request as it was accepted. Raises Failure with the next step."""
    for partition in range(partitions):
        for event in _search(log, partition, request_id):
            if isinstance(event, InvocationRequested):
                return event
            raise Failure(
                f"{request_id} was rejected: {event.reason}. There is nothing to run again; "
                "mend the message and send it."
            )
    raise Failure(
        f"No request {request_id} in the log. It may be trimmed, or never have been accepted: "
        "`hearth tail --since 1h --no-follow --stream requests` shows the last ones."
    )


def repeat(asked: InvocationRequested, request_id: str, memory_mb: int | str | None) -> Message:
    """The message that asks for the same, under a new id."""
    memory = memory_mb or ("auto" if asked.memory_auto else asked.memory_mb)
    message: Message = {
        "requestId": request_id,
        "functionId": asked.function_id,
        "runtime": asked.runtime.value,
        "handler": asked.handler,
        "s3Bucket": asked.code.bucket,
        "s3Key": asked.code.key,
        "codeSha256": asked.code.sha256,
        "memoryMb": memory,
        "timeoutMs": asked.timeout_ms,
        "input": json.loads(bytes(asked.input)),
        "envVars": asked.env_vars,
        "network": asked.network.value,
        "reuse": asked.reuse,
    }
    if asked.input_s3 is not None:
        message["inputS3"] = {"bucket": asked.input_s3.bucket, "key": asked.input_s3.key}
    return message


def _search(
    log: Log, partition: int, request_id: str
) -> Iterator[InvocationRequested | InvocationRejected]:
    needle = msgspec.json.encode(request_id)  # most entries need no decoding
    for payload in log.newest(REQUESTS, partition):
        if needle not in payload:
            continue
        try:
            event = decode(payload)
        except UndecodableError:
            continue
        if (
            isinstance(event, InvocationRequested | InvocationRejected)
            and event.invocation_id == request_id
        ):
            yield event


def _find_view(log: Log, partitions: int, request_id: str) -> View:
    event = find(log, partitions, request_id)
    if event is None:
        raise Failure(f"{request_id} has not run to its end yet: there is nothing to compare.")
    return make_view(request_id, event)


def _check_archive(settings: Settings, asked: InvocationRequested) -> None:
    """Say so where the archive may not be the one that ran."""
    if asked.code.sha256 is not None:
        return
    place = f"s3://{asked.code.bucket}/{asked.code.key}"
    try:
        found = make_client(settings, "s3").head_object(
            Bucket=asked.code.bucket, Key=asked.code.key
        )
    except ClientError as error:
        raise Failure(f"The archive {place} cannot be read any more: {error}") from error
    if found["LastModified"].timestamp() * 1_000 > asked.occurred_at_ms:
        click.secho(
            f"{place} was replaced after that call, which named no hash: this runs the new code.",
            fg="yellow",
            err=True,
        )


def _call(settings: Settings, message: Message, prefix: str, wait_s: float) -> Document:
    sender = make_sender(settings)
    try:
        (document,) = sender.call([message], prefix, wait_s=wait_s)
    except KeyboardInterrupt as interrupt:
        raise Failure(
            f"Interrupted; {prefix} runs to its end all the same. `hearth result {prefix}` shows "
            "its result.",
            ExitCode.INTERRUPTED,
        ) from interrupt
    return document


def _show(settings: Settings, before: View, now: View, document: Document) -> None:
    try:
        book = make_adviser(settings).book
    except PriceBookError as error:
        raise Failure(str(error)) from error
    if document["error"]:
        click.echo(f"{write_document(document, find_width())}\n")
    click.echo(f"before  {before.title}")
    click.echo(f"now     {now.title}\n")
    print_rows(list_rows(compare(before, now, book)), as_json=False)
