"""An executor that is not root removes what another user made."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.requirements import need

EXECUTOR, SANDBOX = 12_345, 65_501
ROOT = Path(__file__).parents[2]
MAKE = "mkdir -p a/b && touch a/b/file && umask 077 && touch private && mkdir c"
REMOVE = """
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
sys.exit(0 if empty_folder(folder) and not os.listdir(folder) else 3)
"""
KEEP = "sys.exit(0 if keep_rights(Path(sys.argv[1]), os.geteuid()) else 3)"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where any user may look, unlike pytest's own."""
    need(os.geteuid() == 0, "only root can be several users")
    with tempfile.TemporaryDirectory(prefix="hearth-rights-") as name:
        Path(name).chmod(0o755)
        folder = Path(name, "output")
        folder.mkdir()
        os.chown(folder, EXECUTOR, EXECUTOR)
        folder.chmod(0o777)
        yield folder


def run(user: int, *command: str, cwd: Path) -> int:
    done = subprocess.run(command, cwd=cwd, user=user, group=user, extra_groups=[], check=False)
    return done.returncode


def run_with(module: str, script: str, folder: Path) -> int:
    """As the executor, which may not be allowed to read this project: its text is handed over."""
    text = (ROOT / "executor" / f"{module}.py").read_text()
    program = f"{text}\nimport os, sys\n{script}"
    return run(EXECUTOR, "/usr/bin/python3", "-c", program, str(folder), cwd=folder)


def test_removing_what_the_sandbox_made(folder: Path) -> None:
    """With the kept rights, and not without them."""
    assert 0 == run(SANDBOX, "/bin/sh", "-c", MAKE, cwd=folder)
    assert 3 == run_with("empty_folder", REMOVE, folder)
    subprocess.run(["rm", "-rf", "a", "c", "private"], cwd=folder, check=True)
    assert 0 == run_with("kept_rights", KEEP, folder)
    assert 0 == run(SANDBOX, "/bin/sh", "-c", MAKE, cwd=folder)

    assert 0 == run_with("empty_folder", REMOVE, folder)
