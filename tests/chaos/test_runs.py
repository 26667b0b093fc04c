"""Short runs of what `make chaos` does at length; each prints its report."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.report import Report, format_text
from tests.chaos.run import Size, run
from tests.contract.sandboxes import need_kind
from tests.requirements import need


def run_and_tell(size: Size, folder: Path) -> Report:
    need_kind("bubblewrap")
    need(shutil.which("redis-server") is not None, "redis-server is missing: make setup")
    report = run(size, folder)
    print(format_text(report))
    return report


@pytest.mark.timeout(300)
def test_sixty_kills_and_whatever_else_goes_wrong(tmp_path: Path) -> None:
    """Processes killed and stopped, links cut, disks full, clocks wrong: all promises hold."""
    report = run_and_tell(Size(seed=20_261_124, kills=60, seconds=35, invocations=500), tmp_path)

    assert [] == [verdict for verdict in report.verdicts if not verdict.holds]
    assert report.invocations >= 450
    assert 60 == report.kills
    assert report.duplicates > 0
    assert len(report.poison) >= 5


@pytest.mark.timeout(300)
def test_redis_killed_twenty_times_under_load(tmp_path: Path) -> None:
    """Nothing that was acknowledged to a caller is lost, and nothing else is."""
    report = run_and_tell(Size(1, kills=20, seconds=14, invocations=300, only="redis"), tmp_path)

    assert [] == [verdict for verdict in report.verdicts if not verdict.holds]
    assert report.faults == {"kill redis": report.kills}
    assert 20 == report.kills
