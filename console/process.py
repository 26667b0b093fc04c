"""The console's process: its composition root, the reader's thread and the server.

Not here: any page. It reads the log and puts dead letters back; it is no stage, and nothing waits
for it.
"""

import logging
import os
import secrets
import threading
from pathlib import Path

from waitress.server import create_server

from console.access import Access, is_loopback
from console.gauges import Gauges
from console.pages import Pages, Sources
from console.projection import Projection
from console.reader import Reader
from console.web import Web
from shared.log import Log
from shared.logging import log_event
from shared.settings import Settings
from shared.tail import Tail
from tuner.adviser import make_adviser

LOG = logging.getLogger(__name__)
_THREADS = 3


class ConsoleError(Exception):
    """The console cannot listen; the message names the setting."""


def build(settings: Settings) -> tuple[Reader, Web]:
    """Everything that the process is made of. Raises PriceBookError."""
    projection = Projection()
    sources = Sources(
        projection=projection,
        tail=Tail(settings.redis_address, settings.partitions),
        log=Log(settings.redis_address, settings.partitions),
        gauges=Gauges(settings),
        adviser=make_adviser(settings),
        settings=settings,
    )
    reader = Reader(Tail(settings.redis_address, settings.partitions), projection)
    return reader, Web(Pages(sources), Access(decide_token(settings)))


def decide_token(settings: Settings) -> str:
    """The token that is demanded; empty where only this machine can come, and none was set.

    Where others can come and none was set, one is made and kept in a file that its owner can read.
    """
    if settings.console_token or is_loopback(settings.console_bind):
        return settings.console_token
    file = Path(settings.state_dir) / "console-token"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text().strip()
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(token + "\n")
    log_event(LOG, "console.token_made", file=file)
    return token


def run(settings: Settings, stop: threading.Event) -> None:
    """Read and serve until `stop`. Raises ConsoleError, PriceBookError."""
    reader, web = build(settings)
    try:
        server = create_server(
            web,
            host=settings.console_bind,
            port=settings.console_port,
            threads=_THREADS,
            ident=None,
            max_request_body_size=65_536,
            clear_untrusted_proxy_headers=False,
        )
    except OSError as error:
        message = (
            f"The console cannot listen on {settings.console_bind}:{settings.console_port}: "
            f"{error.strerror}. Set CONSOLE_PORT to a free port, or CONSOLE_BIND."
        )
        raise ConsoleError(message) from error
    threading.Thread(target=reader.run, args=(stop,), name="reader", daemon=True).start()
    threading.Thread(target=server.run, name="server", daemon=True).start()
    address = f"http://{settings.console_bind}:{settings.console_port}/"
    log_event(LOG, "console.serving", address=address)
    stop.wait()
    server.close()
