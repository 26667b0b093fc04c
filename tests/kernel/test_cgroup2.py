"""The tests of this folder on real cgroup v2: Linux 6.1 and 6.12 in a virtual machine.

The controllers of a machine are in one version, so the other needs another kernel. What came of it
stays below `build/cgroup2/results`, the captures for `tests/golden/cgroup` among it.
"""

import shutil
from pathlib import Path

import pytest

from tests.kernel.machine.boot import boot
from tests.kernel.machine.kernel import SUITES, UnavailableError
from tests.kernel.requirements import need

CACHE = Path(__file__).parents[2] / "build" / "cgroup2"
SECONDS_MAX = 420


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 200)
@pytest.mark.parametrize("version", SUITES)
def test_on(version: str) -> None:
    """Every test that runs here runs there, and captures are taken."""
    results = CACHE / "results" / version
    shutil.rmtree(results, ignore_errors=True)
    try:
        outcome = boot(version, CACHE, results, SECONDS_MAX)
    except UnavailableError as error:
        need(False, f"no virtual machine can be made here: {error}")
        return

    assert "0" == outcome.status, outcome.output[-6_000:] or outcome.console
    captures = outcome.results / f"v2-{version}"
    assert {"out_of_memory.txt", "waiting.txt"} <= {path.name for path in captures.iterdir()}
