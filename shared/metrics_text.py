"""All metrics as text, for Prometheus: of every process of a host, and of the log.

Not here: what is counted (`metrics`), how the log is asked (`log_figures`), the server.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.log_figures import Figures

_STREAM_FIGURES = (  # suffix of the name, help, field of StreamFigures
    ("entries", "Entries in a stream, of all partitions.", "entries"),
    ("lag_entries", "Entries that were not delivered to the stage yet.", "lag"),
    ("pending_entries", "Entries that were delivered and are not acknowledged.", "pending"),
    ("oldest_age_seconds", "Age of the oldest entry not acknowledged; 0: none.", "oldest_age_s"),
    ("consumers", "Consumers in the stream's group.", "consumers"),
)


class LogCollector(Collector):
    """What was last heard of the log."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def collect(self) -> Iterator[Metric]:
        """What Redis said last. Where it did not answer, figures are absent and not old."""
        figures = self.figures
        yield _gauge("redis_up", "1 where Redis answered the last time it was asked.", figures.up)
        if not figures.up:
            return
        yield _gauge("redis_memory_bytes", "Memory that Redis uses.", figures.memory_bytes)
        yield _gauge(
            "redis_memory_max_bytes",
            "Memory that Redis may use (maxmemory), or that its host has.",
            figures.memory_bytes_max,
        )
        for name, text, field in _STREAM_FIGURES:
            family = GaugeMetricFamily(f"hearth_stream_{name}", text, labels=["stream", "stage"])
            for one in figures.streams:
                value = getattr(one, field)
                if value is not None:
                    family.add_metric([one.stream, one.stage], value)
            yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"hearth_{name}", text, value=value)


def render(folder: Path | None, collectors: Sequence[Collector] = ()) -> bytes:
    """All metrics as text: of every process that writes to `folder`, or of this one."""
    if folder is None:
        return generate_latest(REGISTRY)
    for pid in {file.stem.rpartition("_")[2] for file in folder.glob("*.db")}:
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            multiprocess.mark_process_dead(int(pid), path=os.fspath(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=os.fspath(folder))  # type: ignore[no-untyped-call]
    for one in collectors:
        registry.register(one)
    return generate_latest(registry)
