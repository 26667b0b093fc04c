"""Fixtures for all tests: real servers, started once."""

from pathlib import Path

import pytest
from hypothesis import settings

# No deadline for an example: it would measure the machine and its neighbours.
settings.register_profile("hearth", deadline=None)
settings.load_profile("hearth")

_TESTS = Path(__file__).parent
# What shares no engine, network or count of processes with other tests: `make test` runs it beside
# them, one folder after another. Most others wait for processes most of the time.
_BESIDE = {"unit"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two lanes for `--dist loadgroup`; without it nothing changes."""
    for item in items:
        folder = item.path.relative_to(_TESTS).parts[0]
        lane = folder if folder in _BESIDE else "alone"
        item.add_marker(pytest.mark.xdist_group(lane))


pytest_plugins = [
    "tests.fixtures_aws",
    "tests.fixtures_redis",
    "tests.fixtures_cluster",
    "tests.fixtures_stack",
    "tests.fixtures_executor",
]
