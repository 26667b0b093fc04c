"""`hearth`: what people and process managers type.

Not here: any decision of a stage; each command calls into one.
"""

import importlib
import logging
import signal
import sys
import threading
from pathlib import Path

import click

from cli.dead import dead
from cli.profile import profile
from cli.tuning import COMMANDS
from shared.inbox import LogUnavailableError
from shared.logging import log_event, set_up
from shared.metrics_folder import reserve
from shared.settings import Settings, SettingsError, load_from_process, name_metrics_folder

LOG = logging.getLogger(__name__)

PROCESSES = {
    "local": "local.process",
    "ingest": "ingest.process",
    "executor": "executor.process",
    "profiler": "profiler.process",
    "tuner": "tuner.process",
    "replay": "tuner.replay_schedule",
    "publisher": "publisher.process",
    "metrics": "shared.metrics_server",
}


class Commands(click.Group):
    """Says in words what the world's failure is; no traceback for an absent Redis."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except LogUnavailableError as error:
            raise click.ClickException(f"{error}. Is it started, and named in .env?") from error


@click.group(cls=Commands, help="Run serverless functions in warm, isolated, measured sandboxes.")
@click.pass_context
def main(context: click.Context) -> None:
    """Read the settings once, for every command."""
    try:
        context.obj = load_from_process()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


@main.command()
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
        raise click.ClickException(str(error)) from error


def module_errors(process: str) -> tuple[type[Exception], ...]:
    """What a process says in words for people, with the next step: not worth a traceback."""
    if process == "local":
        error: type[Exception] = importlib.import_module("local.child").LocalError
        return (error,)
    if process == "executor":
        error = importlib.import_module("executor.sandbox").SandboxError
        return (error,)
    if process == "tuner":
        error = importlib.import_module("tuner.price_lists").PriceBookError
        return (error,)
    if process == "replay":
        error = importlib.import_module("tuner.replay_schedule").ReplayCronError
        return (error,)
    return ()


def _announce(settings: Settings, process: str, folder: Path) -> None:
    metrics = importlib.import_module("shared.metrics")
    metrics.STARTED.labels(process).set_to_current_time()
    if settings.metrics_own:
        server = importlib.import_module("shared.metrics_server").make_server(settings, folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()


main.add_command(dead)
for command in (*COMMANDS, profile):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main())
