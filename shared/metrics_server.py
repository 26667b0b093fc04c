"""The HTTP endpoint of one host: `/metrics` for Prometheus, `/healthz` for whoever restarts things.

Healthy means that no stage waits for something that does not answer. The process `metrics` also
watches the log; `METRICS_OWN` makes the other processes serve their own endpoint, without it.
Not here: the metrics.
"""

import json
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from shared.log_figures import Figures, LogFigures, watch
from shared.logging import log_event
from shared.metrics_text import LogCollector, render
from shared.settings import Settings

LOG = logging.getLogger(__name__)

_WAITING = re.compile(r"^hearth_waiting\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


def read_health(text: str) -> tuple[bool, list[str]]:
    """Whether all is well, and what is waited for, out of the metrics' text."""
    waiting = [match["labels"] for match in _WAITING.finditer(text) if float(match["value"]) > 0]
    return not waiting, waiting


def make_server(
    settings: Settings, folder: Path | None, log: LogCollector | None = None
) -> ThreadingHTTPServer:
    """A server that is ready to `serve_forever`."""
    collectors = () if log is None else (log,)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    text = render(folder, collectors)
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
                case "/healthz":
                    healthy, waiting = read_health(render(folder).decode())
                    body = json.dumps({"healthy": healthy, "waiting": waiting}).encode()
                    self._answer(200 if healthy else 503, "application/json", body)
                case _:
                    self._answer(404, "text/plain", b"try /metrics or /healthz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    return ThreadingHTTPServer((settings.metrics_bind, settings.metrics_port), Handler)


def run(settings: Settings, stop: threading.Event) -> None:
    """Serve the metrics of all processes of this host, and the log's, until `stop`."""
    folder = Path(settings.state_dir) / "metrics"
    collector = LogCollector(Figures())
    server = make_server(settings, folder, collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log_event(LOG, "metrics.serving", port=server.server_port)
    log = LogFigures(settings.redis_address, settings.partitions)

    def tell(figures: Figures) -> None:
        collector.figures = figures

    watch(log, stop, tell)
    server.shutdown()
