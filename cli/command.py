"""What all commands share: examples in the help, and the option `--json`.

Not here: any command.
"""

from collections.abc import Sequence
from typing import Any

import click

as_json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


class Command(click.Command):
    """A command whose help ends with examples: what to type, and what it does."""

    def __init__(
        self, *arguments: Any, examples: Sequence[tuple[str, str]] = (), **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See `click.Command`."""
        super().format_epilog(ctx, formatter)
        if not self.examples:
            return
        with formatter.section("Examples"):
            for typed, meaning in self.examples:
                formatter.write(f"  {typed}\n")
                formatter.write(f"      {meaning}\n")
