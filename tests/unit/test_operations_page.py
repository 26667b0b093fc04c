"""docs/operations.md names everything that exists, and nothing that does not."""

import re
from pathlib import Path

import msgspec
from prometheus_client import REGISTRY

from shared import metrics
from shared.log_figures import Figures
from shared.metrics_text import LogCollector
from shared.settings import Settings, load
from shared.topology import KEY_PATTERNS, STREAMS

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()


def first_cells(heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)`", section, re.MULTILINE))


def test_every_key_and_stream_is_explained() -> None:
    """The table of keys is the list of patterns."""
    assert set(KEY_PATTERNS) == first_cells("Keys in Redis")
    assert all(f"`{{hearth:P}}:{stream.name}`" in PAGE for stream in STREAMS)


def test_every_setting_is_explained_with_its_default() -> None:
    """The table of settings is the settings type; defaults agree."""
    names = {field.name.upper() for field in msgspec.structs.fields(Settings)}
    assert names == first_cells("Settings")
    for field in msgspec.structs.fields(Settings):
        if field.name == "worker_id" or field.default in ("", False):
            continue
        cell = re.search(rf"^\| `{field.name.upper()}` \| ([^|]*) \|", PAGE, re.MULTILINE)
        assert cell is not None
        default = getattr(load({}), field.name)
        shown = cell[1].strip()
        assert shown in (str(default), "hearth-code", "hearth-output"), field.name


def test_every_setting_is_in_the_example() -> None:
    """.env.example names every setting."""
    example = (ROOT / ".env.example").read_text()
    missing = [
        field.name.upper()
        for field in msgspec.structs.fields(Settings)
        if f"{field.name.upper()}=" not in example
    ]
    assert missing == []


def test_every_metric_is_explained() -> None:
    """The table of metrics is what the module defines, under the names that Prometheus sees."""
    assert metrics.HANDLED is not None
    suffix = {"counter": "_total"}
    families = [*REGISTRY.collect(), *LogCollector(Figures(up=True)).collect()]
    names = {
        family.name + suffix.get(family.type, "")
        for family in families
        if family.name.startswith(("worker_", "hearth_"))
    }
    assert names == first_cells("Metrics")
