"""A page in Chromium with what its browser said of it, and waiting for what comes by itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Page, Response

SECONDS = 15


@dataclass
class Visit:
    """A page with what its browser said of it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SECONDS * 1_000)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", self._keep)

    def _keep(self, answer: Response) -> None:
        self.answers.append(answer)

    def open(self, address: str) -> Page:
        """Go there; what an earlier page transferred is forgotten."""
        self.answers.clear()
        self.page.goto(address)
        return self.page

    def count_bytes(self, *, assets: bool) -> int:
        """What was transferred since `open`, heads included: of the assets, or of all else."""
        sizes = [
            answer.request.sizes()
            for answer in self.answers
            if assets == ("/static/" in answer.url)
        ]
        return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)


MakeVisit = Callable[..., Visit]
MakeConsole = Callable[..., str]


def wait_for(what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def answers(address: str) -> bool:
    """Whether a console listens there."""
    try:
        urlopen(f"{address}/healthz", timeout=2).close()  # noqa: S310 - own address
    except (URLError, ConnectionError):
        return False
    return True
