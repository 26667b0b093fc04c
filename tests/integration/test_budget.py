"""What one warm invocation may cost, in counts: a regression fails here, long before it is felt.

Not here: times (`make bench`).
"""

import json
import shutil

import pytest

from bench.budget import BUDGET, count
from tests.requirements import need

_BYTES_MORE = 1.1  # counters grow digits


@pytest.mark.timeout(120)
def test_a_warm_invocation_costs_no_more_than_its_budget() -> None:
    """No further kind of command, none more often, and no event a tenth larger than it was."""
    for program in ("redis-server", "bwrap"):
        need(shutil.which(program) is not None, f"{program} is missing: make setup")
    budget = json.loads(BUDGET.read_text())

    counted = count("bubblewrap", runs=100)

    assert counted["commands"].keys() <= budget["commands"].keys()
    for name, calls in counted["commands"].items():
        assert calls <= budget["commands"][name] + 0.3, name
    for name in ("bytes_to_redis", "bytes_from_redis"):
        assert counted[name] <= budget[name] * _BYTES_MORE, name
    for name, size in counted["event_bytes"].items():
        assert size <= budget["event_bytes"][name] * _BYTES_MORE, name
