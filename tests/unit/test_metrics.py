"""Names, help texts and labels of all metrics, as promtool and a bill for series see them."""

import shutil
import subprocess
import sys
from math import prod

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from shared import metrics
from shared.aws_calls import decide_outcome
from shared.log_figures import Figures, StreamFigures
from shared.metrics_text import LogCollector
from shared.topology import STREAMS
from tests.metrics_labels import values_of
from tests.requirements import need

SERIES_MAX = 12_000  # of one host, were every combination to happen


def all_metrics() -> list[MetricWrapperBase]:
    return [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]


def log_collector() -> LogCollector:
    streams = [StreamFigures(one.name, one.group, 3, 2, 1, 0.5, 1) for one in STREAMS]
    return LogCollector(Figures(True, 1 << 20, 1 << 30, streams))


def count_series(one: MetricWrapperBase) -> int:
    buckets = one._kwargs.get("buckets")  # and +Inf, the sum and the count
    return prod(len(values_of(one._name, name)) for name in one._labelnames) * (
        len(buckets) + 3 if buckets else 1
    )


def test_the_number_of_series_is_bounded() -> None:
    """Every label has a closed list of values; all of them with all others are not too many."""
    of_log = sum(len(family.samples) for family in log_collector().collect())

    assert sum(map(count_series, all_metrics())) + of_log < SERIES_MAX


def test_promtool_finds_nothing_to_say() -> None:
    """Names, types and help texts are as Prometheus wants them."""
    need(shutil.which("promtool") is not None, "promtool is missing: scripts/setup --test")
    for one in all_metrics():
        if one._labelnames:
            one.labels(*[values_of(one._name, name)[0] for name in one._labelnames])
    registry = CollectorRegistry()
    registry.register(log_collector())
    text = b"".join(
        line + b"\n"
        for line in generate_latest(REGISTRY).splitlines()
        # Its own, which a host's endpoint does not have.
        if not line.split(b" ")[-2 if line[:1] != b"#" else 2].startswith((b"python_", b"process_"))
        and b"_created" not in line
    ) + generate_latest(registry)

    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=30
    )

    assert (0, b"") == (checked.returncode, checked.stdout + checked.stderr)


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, "", "ok"),
        (304, "304", "ok"),
        (404, "NoSuchKey", "refused"),
        (429, "", "throttled"),
        (503, "SlowDown", "throttled"),
        (400, "ThrottlingException", "throttled"),
        (500, "InternalError", "failed"),
    ],
)
def test_a_call_to_aws_has_one_outcome(status: int, code: str, outcome: str) -> None:
    """What was refused is our doing, what failed is theirs; an unchanged object is neither."""
    assert decide_outcome(status, code) == outcome


def test_the_commands_know_no_metrics_before_the_settings() -> None:
    """prometheus_client looks for the folder of the host's processes when it is first imported."""
    program = "import sys, cli.main; sys.exit('prometheus_client' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
