"""`hearth dead`: what no stage could take, looked at and put back."""

import json

import click

from shared.dead_letters import Letter, NeverAnEntryError, put_back, read_letters
from shared.log import Log
from shared.settings import Settings


@click.group(help="Dead letters: list, show, requeue.")
def dead() -> None:
    """Nothing by itself."""


def _find(log: Log, settings: Settings, entry_id: str) -> Letter:
    for letter in read_letters(log, settings.partitions):
        if letter.entry_id == entry_id:
            return letter
    raise click.ClickException(
        f"No dead letter {entry_id}. `hearth dead list` shows what there is."
    )


@dead.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_letters(settings: Settings, *, as_json: bool) -> None:
    """One line for each dead letter, oldest first."""
    log = Log(settings.redis_address, settings.partitions)
    for _, entry_id, letter in read_letters(log, settings.partitions):
        if as_json:
            row = {
                "id": entry_id,
                "stage": letter.stage,
                "stream": letter.stream,
                "attempts": letter.attempts,
                "reason": letter.reason,
            }
            click.echo(json.dumps(row))
        else:
            reason = letter.reason.strip().rpartition("\n")[2]
            click.echo(f"{entry_id}  {letter.stage:<10} {letter.stream:<16} {reason}")


@dead.command()
@click.argument("entry_id")
@click.pass_obj
def show(settings: Settings, entry_id: str) -> None:
    """The reason in full and the bytes as they were."""
    log = Log(settings.redis_address, settings.partitions)
    letter = _find(log, settings, entry_id).event
    click.echo(letter.reason)
    click.echo(letter.payload.decode(errors="replace"))


@dead.command()
@click.argument("entry_id")
@click.pass_obj
def requeue(settings: Settings, entry_id: str) -> None:
    """Append the entry to its stream again, once what stopped it is mended."""
    log = Log(settings.redis_address, settings.partitions)
    try:
        click.echo(put_back(log, _find(log, settings, entry_id)))
    except NeverAnEntryError as error:
        raise click.ClickException(str(error)) from error
