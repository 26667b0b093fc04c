"""`hearth dead`: what no stage could take: looked at, put back, deleted.

Not here: which letters are meant and how they look (`dead_choice`), what putting back means for
each kind (`dead_return`).
"""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cli.dead_choice import Choice, describe, make_row, parse_age_ms
from cli.dead_return import CannotReturnError, decide_return
from shared.dead_letters import DeadLetters, Letter, Requeued
from shared.log import Log
from shared.settings import Settings

Command = Callable[..., Any]


@click.group(help="Dead letters: list, show, requeue, purge.")
def dead() -> None:
    """Nothing by itself."""


def choosing(command: Command) -> Command:
    """The options that say which letters are meant."""
    for option in (
        click.option("--stage", default="", help="Buried by this stage."),
        click.option("--function", default="", help="Of this function."),
        click.option("--reason", default="", help="With these words in the reason."),
        click.option("--older-than", default="", help="Buried longer ago: 30s, 15m, 2h, 7d."),
        click.option("--newer-than", default="", help="Buried since: 30s, 15m, 2h, 7d."),
    ):
        command = option(command)
    return command


def read_choice(options: dict[str, str]) -> Choice:
    """What the options mean; wrong ones are said in words."""
    try:
        return Choice(
            stage=options["stage"],
            function=options["function"],
            reason=options["reason"],
            older_ms=parse_age_ms(options["older_than"]),
            newer_ms=parse_age_ms(options["newer_than"]),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def open_letters(settings: Settings) -> DeadLetters:
    """The dead letters of the log that the settings name."""
    log = Log(settings.redis_address, settings.partitions)
    return DeadLetters(log, settings.partitions)


def find(letters: Sequence[Letter], name: str) -> Letter:
    """The letter of that name."""
    for letter in letters:
        if name in (letter.name, f"{letter.partition}:{letter.entry_id}"):
            return letter
    raise click.ClickException(f"No dead letter {name}. `hearth dead list` shows what there is.")


def choose(letters: Sequence[Letter], names: Sequence[str], choice: Choice) -> list[Letter]:
    """The letters that are named, or all that the options describe."""
    if names:
        return [one for one in (find(letters, name) for name in names) if choice.fits(one)]
    if choice == Choice():
        message = "Name dead letters, or say which with --stage, --function, --reason or an age."
        raise click.UsageError(f"{message} `hearth dead list` shows what there is.")
    return [letter for letter in letters if choice.fits(letter)]


@dead.command("list")
@choosing
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_letters(settings: Settings, /, *, as_json: bool, **options: str) -> None:
    """One line for each dead letter, oldest first: id, age, stage, stream, function, reason."""
    choice = read_choice(options)
    for letter in open_letters(settings).read():
        if choice.fits(letter):
            click.echo(json.dumps(make_row(letter)) if as_json else describe(letter))


@dead.command()
@click.argument("letter_id")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, the bytes in base64.")
@click.pass_obj
def show(settings: Settings, letter_id: str, *, as_json: bool) -> None:
    """The reason in full and the bytes as they were."""
    letter = find(list(open_letters(settings).read()), letter_id)
    payload = letter.payload if letter.event is None else letter.event.payload
    row = make_row(letter)
    if as_json:
        click.echo(json.dumps({**row, "payloadBase64": base64.b64encode(payload).decode()}))
        return
    for name in ("id", "stage", "stream", "function", "requestId", "attempts", "requeuedAs"):
        if row[name]:
            click.echo(f"{name + ':':<12}{row[name]}")
    click.echo(row["reason"])
    click.echo(payload.decode(errors="replace"))
    if letter.is_cut:
        click.echo(f"... cut off: {len(payload)} of {row['payloadBytes']} bytes were kept")


@dead.command()
@click.argument("letter_ids", nargs=-1)
@choosing
@click.option("--body", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Mended bytes to put back instead, for one letter.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def requeue(
    settings: Settings,
    /,
    letter_ids: tuple[str, ...],
    *,
    body: Path | None,
    as_json: bool,
    **options: str,
) -> None:
    """Put letters back, once what stopped them is mended: entries into their stream, SQS messages
    into the log as if they came now. A letter is put back once, however often one asks.
    """
    letters = open_letters(settings)
    chosen = choose(list(letters.read()), letter_ids, read_choice(options))
    mended = None if body is None else body.read_bytes()
    if mended is not None and len(chosen) != 1:
        raise click.UsageError("--body mends one letter: name one.")
    problems = 0
    for letter in chosen:
        try:
            back = decide_return(letter, mended, settings)
        except CannotReturnError as error:
            problems += 1
            click.echo(f"{letter.name}: {error}", err=True)
            continue
        state, entry_id = letters.requeue(letter, back)
        problems += state in (Requeued.IN_FLIGHT, Requeued.SETTLED)
        row = {"id": letter.name, "outcome": state.value, "stream": back.stream.name,
               "entryId": entry_id}  # fmt: skip
        said = f"{letter.name}: {_OUTCOMES[state].format(**row)}"
        click.echo(json.dumps(row) if as_json else said)
    if problems:
        raise click.ClickException(f"{problems} of {len(chosen)} letters were not put back.")


_OUTCOMES = {
    Requeued.NEW: "put back as {entryId} of {stream}",
    Requeued.AGAIN: "was put back before, as {entryId} of {stream}; nothing was done",
    Requeued.IN_FLIGHT: "its request is under way, or ingest has not settled its burial yet; "
    "nothing was done: wait, or look whether ingest runs",
    Requeued.SETTLED: "its request has a result already; nothing was done: give the mended message "
    "another requestId",
}


@dead.command()
@click.argument("letter_ids", nargs=-1)
@choosing
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(settings: Settings, /, letter_ids: tuple[str, ...], *, yes: bool, **options: str) -> None:
    """Delete letters for ever, after a question."""
    letters = open_letters(settings)
    chosen = choose(list(letters.read()), letter_ids, read_choice(options))
    if not chosen:
        click.echo("No dead letter is meant by that; nothing was deleted.")
        return
    if not yes:
        for letter in chosen[:20]:
            click.echo(describe(letter))
        if len(chosen) > 20:
            click.echo(f"... and {len(chosen) - 20} more")
        question = f"Delete {len(chosen)} dead letters for ever? (--yes does not ask)"
        click.confirm(question, abort=True)
    purged = letters.purge(chosen)
    click.echo(f"{len(purged)} deleted")
    if len(purged) < len(chosen):
        kept = len(chosen) - len(purged)
        words = "ingest has not settled their SQS messages yet. Start ingest, and purge again"
        raise click.ClickException(f"{kept} stay: {words}.")
