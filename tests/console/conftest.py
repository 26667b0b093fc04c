"""A real Chromium and real consoles; where Chromium is missing the tests are skipped, not in CI."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from local.stack import Stack, find_free_ports
from tests.console.scene import Scene, make_scene
from tests.console.visits import SECONDS, MakeConsole, MakeVisit, Visit, answers, wait_for
from tests.fixtures_redis import RedisServer
from tests.fixtures_stack import stack_maker
from tests.requirements import need


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless, from Debian's package."""
    path = shutil.which("chromium")
    need(path is not None, "chromium is missing: scripts/setup --test")
    with sync_playwright() as playwright:
        # Its own sandbox does not start for root, nor in most containers.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[MakeVisit]:
    """Visits with a cache and cookies of their own."""
    contexts: list[BrowserContext] = []

    def make(width: int = 1_280, theme: str = "light") -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
        )
        contexts.append(context)
        return Visit(context.new_page())

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A whole stack with a history, and its console."""
    with stack_maker(tmp_path_factory.mktemp("console")) as make:
        stack, client = make()
        stack.wait_healthy()
        stack.start("console")
        scene = make_scene(stack, client)
        wait_for(lambda: answers(scene.address), SECONDS)
        yield scene
        # Their orderly end takes seconds and is tested elsewhere.
        for name in ("console", "ingest", "profiler", "tuner", "publisher"):
            stack.kill(name)


@pytest.fixture
def make_console(tmp_path: Path) -> Iterator[MakeConsole]:
    """Consoles of a Redis, with some settings; each is told by its address."""
    stacks: list[Stack] = []

    def make(server: RedisServer, **settings: str) -> str:
        (free,) = find_free_ports(1)
        environment = {
            "REDIS_URL": server.url,
            "STATE_DIR": str(tmp_path / "state"),
            "CONSOLE_PORT": str(free),
            **settings,
        }
        stack = Stack(environment, log_path=tmp_path / f"console-{len(stacks)}.log")
        stacks.append(stack)
        stack.start("console")
        address = f"http://127.0.0.1:{environment['CONSOLE_PORT']}"
        wait_for(lambda: answers(address), SECONDS)
        return address

    yield make
    for stack in stacks:
        stack.stop()
