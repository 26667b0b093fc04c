"""Writes docs/cli.md from the commands' own help; `--check` compares.

Not here: what the commands do; each says it in its `--help`.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cli.main import COMMANDS, main

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cli.md"

_INTRODUCTION = """# The command line

Generated from the commands' help by `scripts/generate_cli_doc.py`: change that, not this.

`.venv/bin/hearth COMMAND` from any folder. Settings come from the environment, then from `.env`
in Hearth's own folder; where they name no Redis and no queue, the embedded ones of this machine are
taken, by their ports. On a terminal there are colours and tables that fit it; piped, or with
`NO_COLOR`, plain text. `--json` prints for programs: one value, or one a line where results come
one by one.

| exit code | |
|---|---|
| 0 | success |
| 1 | the function failed, or what was asked for is not there |
| 2 | wrong use, or a wrong setting |
| 3 | the platform does not answer, or not in time |
| 130 | Ctrl-C before the result; it says how to get it later |

**Completion.** `eval "$(.venv/bin/hearth completion bash)"`, with `.venv/bin` in the `PATH`.

**What was deployed** lies in `S3_CODE_BUCKET`: the archive as `functions/NAME/SHA256.zip`, never
overwritten, and beside it the record `functions/NAME.json` of the newest deployment (runtime,
handler, archive and its hash, memory, time-out), which `invoke` reads. Nobody else needs it: a
message names its archive itself.

"""


def build_page() -> str:
    """The whole page."""
    parents = click.Context(main, info_name="hearth", terminal_width=80, max_content_width=80)
    commands = [(name, main.get_command(parents, name)) for name in (*COMMANDS, "run")]
    table = "".join(
        f"| [`hearth {name}`](#hearth-{name}) | {command.get_short_help_str(100)} |\n"
        for name, command in commands
        if command is not None
    )
    sections = [
        section
        for name, command in commands
        if command is not None
        for section in describe(name, command, parents)
    ]
    return f"{_INTRODUCTION}| command | |\n|---|---|\n{table}\n" + "\n".join(sections)


def describe(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """A section for a command, and one for each of a group."""
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=80, max_content_width=80
    )
    title = context.command_path
    yield f"## {title}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from describe(inner, found, context)


def write_or_check() -> int:
    """Write, or compare and say that it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    page = build_page()
    if not parser.parse_args().check:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        print("stale: cli.md. Run .venv/bin/python scripts/generate_cli_doc.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(write_or_check())
