"""What bubblewrap needs of the host is found, or its absence is told with the next step."""

from pathlib import Path

import pytest

from executor.bubblewrap_host import need_programs
from executor.sandbox import SandboxError


def test_programs_that_are_shown() -> None:
    need_programs(("sh", "env"))


def test_a_program_that_is_missing() -> None:
    with pytest.raises(SandboxError, match="gnatmake5 is not installed"):
        need_programs(("sh", "gnatmake5"))


def test_a_program_that_sandboxes_do_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a Node.js in somebody's home."""
    program = tmp_path / "gnatmake5"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SandboxError, match="gnatmake5 is not seen by sandboxes"):
        need_programs(("gnatmake5",))
