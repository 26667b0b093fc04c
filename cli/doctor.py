"""`hearth doctor`: looks at every part, and says how to mend what is not well.

Not here: what is looked at (`checks_of_redis`, `checks_of_aws`, `checks_of_host`).
"""

import logging
import textwrap
from collections.abc import Iterator, Sequence

import click

from cli.check import Check, Level, ok
from cli.checks_of_aws import check_aws
from cli.checks_of_host import check_host
from cli.checks_of_redis import check_redis
from cli.command import Command, as_json_option
from cli.failure import ExitCode
from cli.screen import find_width, print_json
from shared.settings import Settings

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
_LEVEL, _SUBJECT = 9, 24
_MARGIN = " " * (_LEVEL + _SUBJECT)


@click.command(
    cls=Command,
    short_help="What is well, what is not, how to mend it.",
    examples=(
        ("hearth doctor", "a line for each part"),
        ("hearth doctor --json | jq '.[] | select(.level != \"ok\")'", "what is not well"),
    ),
)
@as_json_option
@click.pass_obj
def doctor(settings: Settings, /, *, as_json: bool) -> None:
    """Look at settings, Redis, queue, buckets, sandboxes, clocks and stages.

    It writes a small object to each bucket and removes it, and starts a sandbox and ends it.
    What concerns sandboxes is said of this machine: run it where the executors run.

    Exit code: 0 nothing is broken (warnings too), 1 there is a problem, 2 a wrong setting.
    """
    logging.disable(logging.WARNING)  # what a stage would say of it is said here
    width = find_width()
    checks = []
    for check in examine(settings):
        checks.append(check)
        if not as_json:
            click.echo(write_check(check, width))
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        click.echo(f"\n{summarise(checks)}")
    if any(check.level is Level.PROBLEM for check in checks):
        click.get_current_context().exit(ExitCode.FAILED)


def examine(settings: Settings) -> Iterator[Check]:
    """Every look, one after another."""
    yield ok("settings", describe_settings(settings))
    yield from check_redis(settings)
    yield from check_aws(settings)
    yield from check_host(settings)


def describe_settings(settings: Settings) -> str:
    """Where everything is, without passwords."""
    redis = settings.redis_address.rpartition("@")[2]
    aws = settings.aws_endpoint or f"AWS {settings.aws_region}"
    kind = "embedded" if settings.embedded_aws else "named"
    return f"Redis {redis}, {aws} ({kind}), partitions: {settings.partitions}"


def write_check(check: Check, width: int = 0) -> str:
    """A line, and one more where there is something to do; folded at `width`, unless that is 0."""
    level = click.style(f"{check.level:<{_LEVEL}}", fg=_COLOURS[check.level])
    begin, *others = _fold(check.found, width)
    lines = [f"{level}{check.subject:<{_SUBJECT}}{begin}", *(_MARGIN + line for line in others)]
    if check.mend:
        lines += [
            _MARGIN + click.style(line, bold=True) for line in _fold(f"-> {check.mend}", width)
        ]
    return "\n".join(lines)


def _fold(text: str, width: int) -> list[str]:
    if not width:
        return [text]
    return textwrap.wrap(text, max(width - len(_MARGIN), 20), break_on_hyphens=False)


def summarise(checks: Sequence[Check]) -> str:
    """The last line."""
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    if counts[Level.PROBLEM]:
        verdict = _count(counts[Level.PROBLEM], "problem")
        return click.style(f"{verdict}, {_count(counts[Level.WARNING], 'warning')}.", fg="red")
    if counts[Level.WARNING]:
        return click.style(f"It works; {_count(counts[Level.WARNING], 'warning')}.", fg="yellow")
    return click.style("All is well.", fg="green")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
