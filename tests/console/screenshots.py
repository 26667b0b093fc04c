"""The pictures of the console in docs/: python -m tests.console.screenshots.

Not a test: it starts a stack of its own and takes two minutes.
"""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.console.scene import make_scene
from tests.console.visits import answers, wait_for
from tests.fixtures_stack import stack_maker

DOCS = Path(__file__).parents[2] / "docs"
PICTURES = (
    ("console-overview.png", "/", "light", 900),
    ("console-invocation.png", "/invocation?id=report-1", "dark", 900),
)
_CALLS = 60


def main() -> None:
    """Play, wait for a minute of calls, look."""
    with tempfile.TemporaryDirectory() as folder, stack_maker(Path(folder)) as make:
        stack, client = make()
        stack.wait_healthy()
        stack.start("console")
        scene = make_scene(stack, client)
        for number in range(_CALLS):
            event = {"cpu_ms": 6, "mb": 8 + number % 9, "wait_ms": 6, "name": f"dog-{number}.jpg"}
            client.invoke(f"dog-{number:03}", "thumb", memoryMb=256, input=event)
            time.sleep(0.4 + number % 7 / 5)
        wait_for(lambda: answers(scene.address))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            for name, path, theme, height in PICTURES:
                page = browser.new_page(
                    viewport={"width": 1_200, "height": height},
                    color_scheme="dark" if theme == "dark" else "light",
                )
                page.goto(scene.address + path)
                page.wait_for_selector("#live:not([hidden])")
                page.screenshot(path=DOCS / name)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
