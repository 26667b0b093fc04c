"""What only the metrics of this host know: who waits for what, and the sandboxes' states.

Not here: the metrics endpoint (`shared.metrics_server`), which is asked. Where each container has
its own there is none for all, and nothing is known.
"""

import re
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from shared.settings import Settings

_FRESH_SECONDS = 3.0
_PATIENCE_SECONDS = 0.5
_LINE = re.compile(r"^(hearth_waiting|hearth_sandboxes)\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Reading:
    """One look at the metrics. `known` is false where nobody answered."""

    known: bool = False
    waits: dict[str, list[str]] = field(default_factory=dict)  # dependencies, by stage
    sandboxes: dict[str, int] = field(default_factory=dict)  # by state


class Gauges:
    """Looks at most every few seconds, and only when somebody wants to know."""

    def __init__(self, settings: Settings) -> None:
        self._address = (settings.metrics_bind, settings.metrics_port)
        self._shared = not settings.metrics_own
        self._reading = Reading()
        self._read_at = float("-inf")

    def read(self) -> Reading:
        """The newest that is known."""
        now = time.monotonic()
        if self._shared and now - self._read_at > _FRESH_SECONDS:
            self._read_at = now
            self._reading = self._ask()
        return self._reading

    def _ask(self) -> Reading:
        connection = HTTPConnection(*self._address, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", "/metrics")
            return parse(connection.getresponse().read().decode())
        except (OSError, HTTPException):
            return Reading()
        finally:
            connection.close()


def parse(text: str) -> Reading:
    """The part of the metrics' text that the pages show."""
    reading = Reading(known=True)
    for name, labels, value in _LINE.findall(text):
        by_name = dict(_LABEL.findall(labels))
        if name == "hearth_sandboxes":
            reading.sandboxes[by_name["state"]] = int(float(value))
        elif float(value) > 0:
            reading.waits.setdefault(by_name["stage"], []).append(by_name["dependency"])
    return reading
