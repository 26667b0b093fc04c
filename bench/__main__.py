"""`make bench`: the figures that Hearth is measured by; writes bench/results.json.

    python -m bench [--only ROW]... [--sandbox docker] [--quick] [--json]

Each row is a module that can be run alone too, with more to choose.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import executor_call, first_call, measuring, streaming, warm
from bench.machine import describe_machine
from bench.peers import comparison

RESULTS = Path(__file__).parent / "results.json"
Row = Callable[[str, int, bool], dict[str, Any]]  # of sandbox, sandboxes, quick

ROWS: dict[str, Row] = {
    "warm": lambda sandbox, sandboxes, quick: warm.measure(
        sandbox, sandboxes, *((300, 4_000) if quick else (1_000, 12_000))
    ),
    "executor_call": lambda sandbox, _, quick: executor_call.measure(
        sandbox, 500 if quick else 2_000
    ),
    "first_call": lambda sandbox, _, quick: first_call.measure(
        sandbox, 40 if quick else 200, 1 if quick else 3
    ),
    "measuring": lambda sandbox, _, quick: dict(
        measuring.measure(sandbox, 500 if quick else 2_000)
    ),
    "peers": lambda sandbox, sandboxes, quick: comparison.measure(sandbox, sandboxes, quick=quick),
    "streaming": lambda sandbox, _, quick: streaming.run(
        sandbox, 256 if quick else 2_048, 128 if quick else 1_024
    ),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="this row; repeatable")
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--sandboxes", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="fewer runs; not for comparison")
    parser.add_argument("--json", action="store_true", help="one line")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "machine": describe_machine(),
        "sandbox": given.sandbox,
        "sandboxes": given.sandboxes,
        "quick": given.quick,
    }
    for name in given.only or ROWS:
        result[name] = ROWS[name](given.sandbox, given.sandboxes, given.quick)
    if not given.only and not given.quick:
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result) if given.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
