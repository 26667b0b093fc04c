"""`hearth invoke FUNCTION`: calls a function as any sender does.

Not here: sending and waiting (`sender`), how a result looks (`document_text`, `summary`).
"""

import json
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.command import Command, as_json_option
from cli.deploy import Memory
from cli.deployed import Deployments, make_message
from cli.document_text import write_document
from cli.failure import ExitCode, Failure
from cli.screen import find_width, open_screen
from cli.sender import MESSAGE_BYTES_MAX, Document, Message, Sender
from cli.summary import write_summary
from ingest.request import TIMEOUT_MS_MAX
from shared.aws import make_client
from shared.results import Results
from shared.settings import Settings

_PATIENCE_SECONDS = 60.0  # besides the function's own time-out
_PREFIX_MAX = 96  # of the 128 characters of a request id


class Input(click.ParamType[Any]):
    """JSON as typed, `@FILE`, or `-` for standard input."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        try:
            if value == "-":
                text = sys.stdin.read()
            elif value.startswith("@"):
                text = Path(value[1:]).read_text()
            else:
                text = value
            return json.loads(text)
        except OSError as error:
            self.fail(f"{value[1:]} cannot be read: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(
                f'no JSON ({error}). Quote it for the shell, such as \'{{"name": "you"}}\'; '
                "@FILE reads a file, - standard input",
                param,
                ctx,
            )


@click.command(
    cls=Command,
    short_help="Call a function; its log, result, profile and advice.",
    examples=(
        ('hearth invoke hello --input \'{"name": "you"}\'', "one call"),
        ("hearth invoke hello --input @event.json --memory 512", "at another size"),
        ("hearth invoke hello --count 200 --parallel 8", "many calls, and what they sum up to"),
        ("hearth invoke hello --json | jq .output", "the result alone"),
    ),
)
@click.argument("function_id", metavar="FUNCTION")
@click.option("--input", "given", type=Input(), default="null", metavar="JSON|@FILE|-",
              help="The event that the handler gets; null if not given.")  # fmt: skip
@click.option("--memory", "memory_mb", type=Memory(),
              help="MB, or `auto`; as deployed if not given.")  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.001, TIMEOUT_MS_MAX / 1_000),
              metavar="SECONDS",
              help="How long a call may run; as deployed if not given.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 100_000), default=1, help="How many calls.")
@click.option("--parallel", type=click.IntRange(1, 1_000), default=1,
              help="How many of them at a time.")  # fmt: skip
@click.option("--wait", "wait_s", type=click.FloatRange(0.1), metavar="SECONDS",
              help="How long to wait for each; by default the time-out and a minute.")  # fmt: skip
@as_json_option
@click.pass_obj
def invoke(settings: Settings, /, function_id: str, **options: Any) -> None:
    """Call a deployed function through the queue and wait for the result.

    Shows the log once the call has ended (it is published with the result), what the function
    returned, where the time went, and the advice. With --count, a summary of all. --json prints
    each result document on a line of its own.

    Exit code: 0 every call succeeded, 1 one failed, 2 wrong use, 3 no answer in time.
    """
    deployments = Deployments(make_client(settings, "s3"), settings.code_bucket)
    deployment = deployments.read(function_id)
    timeout_ms = deployment.timeout_ms
    if options["timeout_s"]:
        timeout_ms = round(options["timeout_s"] * 1_000)
    template = make_message(
        deployment,
        memoryMb=options["memory_mb"] or deployment.memory_mb,
        timeoutMs=timeout_ms,
        input=options["given"],
    )
    prefix = make_prefix(function_id)
    messages = make_messages(template, prefix, options["count"])
    wait_s = options["wait_s"] or timeout_ms / 1_000 + _PATIENCE_SECONDS
    if failed := call_and_show(settings, messages, prefix, {**options, "wait_s": wait_s}):
        click.get_current_context().exit(failed)


def make_prefix(name: str) -> str:
    """What the request ids of one command begin with; nobody else's do."""
    return f"{name[:_PREFIX_MAX]}-{secrets.token_hex(4)}"


def make_messages(template: Message, prefix: str, count: int) -> list[Message]:
    """One message a call. Raises click.UsageError where it is too large for the queue."""
    width = len(str(count))
    ids = [prefix] if count == 1 else [f"{prefix}-{n:0{width}}" for n in range(1, count + 1)]
    messages = [{"requestId": one, **template} for one in ids]
    size = len(json.dumps(messages[-1]).encode())
    if size > MESSAGE_BYTES_MAX:
        raise click.UsageError(
            f"The message has {size:,} bytes and at most {MESSAGE_BYTES_MAX:,} fit: put what is "
            "large into S3 and name its place in the input."
        )
    return messages


def call_and_show(
    settings: Settings, messages: Sequence[Message], prefix: str, options: dict[str, Any]
) -> ExitCode:
    """Send, wait, print; how it went."""
    sender = make_sender(settings)
    began = time.monotonic()
    documents: list[Document] = []
    many, as_json = len(messages) > 1, options["as_json"]
    waiting = make_progress(is_hidden=as_json and not many)
    bar = waiting.add_task(messages[0]["functionId"], total=len(messages))
    try:
        with waiting:
            for document in sender.call(
                messages, prefix, parallel=options["parallel"], wait_s=options["wait_s"]
            ):
                documents.append(document)
                waiting.advance(bar)
                if as_json:
                    click.echo(json.dumps(document, ensure_ascii=False))
    except KeyboardInterrupt as interrupt:
        raise _explain_interrupt(sender, messages[0]["functionId"]) from interrupt
    except Failure:
        _show(documents, time.monotonic() - began, many=many, as_json=as_json)
        raise
    _show(documents, time.monotonic() - began, many=many, as_json=as_json)
    succeeded = all(one["status"] == "SUCCESS" for one in documents)
    return ExitCode.SUCCESS if succeeded else ExitCode.FAILED


def make_sender(settings: Settings) -> Sender:
    """A sender to the queue and Redis of the settings."""
    results = Results(settings.redis_address, settings.partitions)
    return Sender(make_client(settings, "sqs"), settings.queue_url, results)


def make_progress(*, is_hidden: bool) -> Progress:
    """A bar on standard error, where that is a terminal; it leaves nothing behind."""
    screen = open_screen(to_errors=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=is_hidden or not screen.is_terminal,
    )


def _show(documents: Sequence[Document], seconds: float, *, many: bool, as_json: bool) -> None:
    if as_json or not documents:
        return
    if many:
        click.echo("\n".join(write_summary(documents, seconds)))
    else:
        click.echo(write_document(documents[0], find_width()))


def _explain_interrupt(sender: Sender, function_id: str) -> Failure:
    missing = list(sender.waited_for)
    if not missing:
        return Failure("Interrupted before anything was sent.", ExitCode.INTERRUPTED)
    first = f"{len(missing)} calls are under way, the first is {missing[0]}"
    what = first if len(missing) > 1 else f"{missing[0]} is under way"
    return Failure(
        f"Interrupted; {what}. It runs to its end all the same. `hearth result {missing[0]}` "
        f"shows the result, `hearth tail --function {function_id}` what happens.",
        ExitCode.INTERRUPTED,
    )
