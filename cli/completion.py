"""`hearth completion bash|zsh|fish`: the script that teaches a shell the commands and options.

Not here: what is completed; click knows.
"""

import click
from click.shell_completion import get_completion_class

from cli.command import Command

_VARIABLE = "_HEARTH_COMPLETE"


@click.command(
    cls=Command,
    short_help="Completion for a shell.",
    examples=(
        ('eval "$(hearth completion bash)"', "in ~/.bashrc; zsh: the same with zsh in ~/.zshrc"),
        ("hearth completion fish | source", "in ~/.config/fish/config.fish"),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and their values in a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    root = context.find_root()
    name = root.info_name or "hearth"
    click.echo(kind(root.command, {}, name, _VARIABLE).source())
