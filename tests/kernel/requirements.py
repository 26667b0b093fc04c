"""What a test of real kernels needs of its machine; imports nothing that a bare one lacks."""

import os
from pathlib import Path

import pytest

from executor.own_cgroup import create_cgroup, plan_cgroup, remove_cgroup
from shared.events import Limits


def need(condition: bool, reason: str) -> None:
    """Go on only if `condition` holds: skipped otherwise, a failure in CI."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI this must be there: {reason}")
    pytest.skip(reason)


def need_cgroup() -> None:
    """A cgroup may be made here."""
    folders = plan_cgroup(f"hearth-probe-{os.getpid()}")
    may = create_cgroup(folders, Limits(memory_mb=64, timeout_ms=1), 16)
    remove_cgroup(folders)
    need(may, "no cgroup may be made here. Run it as root")


def find_disk(fallback: Path) -> Path:
    """A folder on a real disk: that of the virtual machine, or a test's own."""
    return Path(os.environ.get("HEARTH_SCRATCH", fallback))
