"""Every shell block of the README and the tutorial, typed in a copy of a fresh clone."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from local.stack import local_environment
from tests.cli.terminal import ROOT, make_environment
from tests.docs.pages import (
    Block,
    find_difference,
    list_commands,
    list_unmarked,
    read_blocks,
    run_block,
)
from tests.requirements import need

PAGES = ("README.md", "docs/tutorial.md")
LEFT_OUT = (".git", ".venv", ".hearth", ".env", "build", "*.egg-info", ".*_cache", "__pycache__")
_START_SECONDS = 60


class Clone(NamedTuple):
    """A copy of this repository, and what its commands run with."""

    folder: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """With everything running that the README says to start."""
    need(shutil.which("bwrap") is not None, "bubblewrap is missing: make setup")
    folder = tmp_path_factory.mktemp("docs") / "hearth"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    write_programs(folder)
    own = local_environment(folder / ".hearth")
    del own["STATE_DIR"]  # as in a clone: its own folder
    environment = make_environment({**own, "SANDBOX": "bubblewrap", "PYTHONPATH": str(folder)})
    (started,) = [one for one in read(PAGES[0]) if one.runs_all_the_while]
    log = (folder / "stack.log").open("wb")
    stack = subprocess.Popen(
        ["bash", "-c", f"exec {started.text}"],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        wait_until_well(Clone(folder, environment))
        yield Clone(folder, environment)
    finally:
        stack.send_signal(signal.SIGTERM)
        try:
            stack.wait(40)
        finally:
            stack.kill()
            log.close()
            print((folder / "stack.log").read_text()[-4_000:])


def write_programs(folder: Path) -> None:
    """What `make setup` makes, of this copy's own files."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    call = "import sys; sys.argv[0] = 'hearth'; from cli.main import main; main()"
    for name, line in {
        "hearth": f'exec {sys.executable} -c "{call}" "$@"',
        "python": f'exec {sys.executable} "$@"',
        "honcho": f'exec {sys.executable} -m honcho "$@"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)


def wait_until_well(clone: Clone) -> None:
    """As the doctor sees it."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        done = subprocess.run(
            [clone.folder / ".venv/bin/hearth", "doctor"],
            env=clone.environment,
            cwd=clone.folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
        if done.returncode == 0:
            return
        assert time.monotonic() < deadline, done.stdout.decode()
        time.sleep(0.5)


def read(page: str) -> list[Block]:
    """The shell blocks of a page."""
    return read_blocks((ROOT / page).read_text())


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", PAGES)
def test_every_shell_block_does_what_the_page_says(clone: Clone, page: str) -> None:
    """In order, in one folder; what it prints is what stands below it."""
    for block in read(page):
        if block.reason is None and not block.runs_all_the_while:
            run_block(block, clone.folder, clone.environment)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_says_why(page: str) -> None:
    """And nothing that is shell is left unmarked."""
    skipped = [block.reason for block in read(page) if block.reason is not None]

    assert [] == list_unmarked((ROOT / page).read_text())
    assert all(len(reason) > 10 for reason in skipped)


def test_six_commands_to_the_advice() -> None:
    """From the README's first command to an own function that was called, its advice read."""
    text = (ROOT / "README.md").read_text()
    section = text[: text.index("## Two commands")]
    blocks = read_blocks(section)
    commands = [one for block in blocks for one in list_commands(block.text)]

    assert len(commands) <= 6, commands
    assert commands[-1].startswith(".venv/bin/hearth invoke hello ")
    assert "\nadvice  " in str(blocks[-1].expected)


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ("one 1.5 ms\n", "one   27 ms\n", None),
        ("one 1.5 ms\n", "two 1.5 ms\n", "one 1.5 ms"),
        ("one\nthree\n", "one\ntwo\nthree\n", "three"),
        ("one\n...\nthree\n", "one\ntwo\nthree\n", None),
        ("shop-5d31f0aa · SUCCESS\n", "shop-00000001 · FAILED\n", "shop-5d31f0aa · SUCCESS"),
        ("shop-5d31f0aa · SUCCESS\n", "shop-00000001 · SUCCESS\n", None),
        ("Switch to 128 MB to save ...\n", "Switch to 192 MB to save $1 a month.\n", None),
        ("Switch to 128 MB to ...\n", "Stay at 128 MB.\n", "Switch to 128 MB to ..."),
        ("...\nlast\n", "first\n", "last"),
    ],
)
def test_outputs_are_compared_loosely(expected: str, actual: str, difference: str | None) -> None:
    """Figures may differ, words may not."""
    assert difference == find_difference(expected, actual)
