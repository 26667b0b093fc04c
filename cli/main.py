"""`hearth`: what people and process managers type.

Not here: any decision of a stage; each command calls into one.
"""

import importlib
import logging
import signal
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from honcho.environ import parse

from cli.command import Command
from cli.failure import ExitCode, Failure, explain_aws, explain_redis
from shared.inbox import LogUnavailableError
from shared.logging import log_event, set_up
from shared.metrics_folder import reserve
from shared.settings import (
    Settings,
    SettingsError,
    adopt,
    load_from_process,
    name_metrics_folder,
    wants_no_colour,
)

LOG = logging.getLogger(__name__)

PROCESSES = {
    "local": "local.process",
    "ingest": "ingest.process",
    "executor": "executor.process",
    "profiler": "profiler.process",
    "tuner": "tuner.process",
    "replay": "tuner.replay_schedule",
    "publisher": "publisher.process",
    "archive": "archiver.process",
    "metrics": "shared.metrics_server",
    "console": "console.process",
    "traces": "traces.process",
}
_ERRORS = {
    "local": (("local.child", "LocalError"),),
    "archive": (("archiver.archiver", "ArchiveDiffersError"),),
    "executor": (("executor.sandbox", "SandboxError"),),
    "tuner": (("tuner.price_lists", "PriceBookError"),),
    "replay": (("tuner.replay_schedule", "ReplayCronError"),),
    "console": (("console.process", "ConsoleError"), ("tuner.price_lists", "PriceBookError")),
    "traces": (("traces.process", "TracesError"),),
}
# In the order in which one meets them. Imported when asked for: eight processes need none of them.
COMMANDS = {
    "deploy": "cli.deploy:deploy",
    "invoke": "cli.invoke:invoke",
    "result": "cli.result:result",
    "rerun": "cli.rerun:rerun",
    "tail": "cli.tail:tail",
    "top": "cli.top:top",
    "profile": "cli.profile:profile",
    "report": "cli.tuning:report_command",
    "whatif": "cli.tuning:whatif_command",
    "replay": "cli.tuning:replay_command",
    "backtest": "cli.tuning:backtest_command",
    "ledger": "cli.tuning:ledger_command",
    "refresh": "cli.tuning:refresh_command",
    "dead": "cli.dead:dead",
    "doctor": "cli.doctor:doctor",
    "completion": "cli.completion:completion",
}
_FOLDER = Path(__file__).parent.parent  # of a clone, where honcho is started


class Commands(click.Group):
    """Says in words what the world's failure is; no traceback for an absent Redis."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LogUnavailableError as error:
            raise explain_redis(error, ctx.obj) from error
        except (BotoCoreError, ClientError) as error:
            raise explain_aws(error, ctx.obj) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See `click.Group`."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group`."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=Commands,
    help="Run serverless functions in warm, isolated, measured sandboxes.",
    epilog="Exit codes: 0 success; 1 the function failed, or what was asked for is not there; "
    "2 wrong use or a wrong setting; 3 the platform does not answer; 130 Ctrl-C.",
)
@click.version_option(version("hearth"), prog_name="hearth")
@click.pass_context
def main(context: click.Context) -> None:
    """Read the settings once, for every command."""
    if wants_no_colour():
        context.color = False
    is_process = context.invoked_subcommand == "run"
    if not is_process:  # whoever starts processes has read it: honcho, docker-compose
        adopt(read_env_file(_FOLDER))
    try:
        settings = load_from_process()
    except SettingsError as error:
        raise Failure(str(error), ExitCode.WRONG_USE) from error
    context.obj = settings if is_process else find_stack(settings)


def read_env_file(folder: Path) -> Mapping[str, str]:
    """What `.env` names beside the Procfile; nothing where Hearth was not installed from there."""
    path = folder / ".env"
    if not ((folder / "Procfile").is_file() and path.is_file()):
        return {}
    named: Mapping[str, str] = parse(path.read_text())
    return named


def find_stack(settings: Settings) -> Settings:
    """The embedded Redis by its port, where it is not in this folder: so any folder will do."""
    if not settings.embedded_redis or settings.redis_socket.exists():
        return settings
    return msgspec.structs.replace(
        settings, redis_url=f"redis://127.0.0.1:{settings.local_redis_port}/0"
    )


@click.command(
    cls=Command,
    short_help="One process of the stack.",
    examples=(
        ("hearth run executor", "one more executor"),
        ("honcho start", "all processes at once (the Procfile)"),
    ),
)
@click.argument("process", type=click.Choice(list(PROCESSES)))
@click.pass_obj
def run(settings: Settings, process: str) -> None:
    """Run one process of the stack until SIGTERM."""
    set_up(settings, process)
    folder = Path(settings.state_dir) / "metrics"
    if reserve(folder):
        name_metrics_folder(folder)
    else:
        log_event(LOG, "metrics.untold", level=logging.WARNING, folder=folder, reason="disk full")
    # Imported only now: prometheus_client looks for the folder when it is first imported.
    module = importlib.import_module(PROCESSES[process])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if process != "metrics":
        _announce(settings, process, folder)
    try:
        module.run(settings, stop)
    except module_errors(process) as error:
        raise Failure(str(error)) from error


def module_errors(process: str) -> tuple[type[Exception], ...]:
    """What a process says in words for people, with the next step: not worth a traceback."""
    return tuple(
        getattr(importlib.import_module(module), name) for module, name in _ERRORS.get(process, ())
    )


def _announce(settings: Settings, process: str, folder: Path) -> None:
    metrics = importlib.import_module("shared.metrics")
    metrics.begin(process)
    if settings.metrics_own:
        server = importlib.import_module("shared.metrics_server").make_server(settings, folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()


main.add_command(run)

if __name__ == "__main__":
    sys.exit(main())
