"""The budget of one warm invocation: what is counted on its way, not what is timed.

Redis commands and scripts, bytes to and from Redis, bytes of events kept, and CPU time by process;
from the request's append to the announced result, one at a time, on a stack of its own.

    python -m bench.budget [--sandbox docker] [--runs 300] [--json] [--write]

`--write` keeps the counts in `bench/budget.json`; a test compares them with what is counted then.
CPU time is printed and not kept: it is a time.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import redis

from bench.warm import measure_latency, start
from local.stack import Stack
from shared.topology import STREAMS, key

BUDGET = Path(__file__).parent / "budget.json"
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_BACKGROUND = {"ping", "info", "client|setname", "hello", "script|load", "psubscribe", "xlen"}


def count(sandbox: str, runs: int) -> dict[str, Any]:
    """Per invocation: `commands` by name, `bytes_to_redis`, `bytes_from_redis`, `event_bytes` by
    stream, and `cpu_us` by process.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        start(Path(folder), sandbox, 1) as stack,
    ):
        measure_latency(stack, 30, "warm-up")
        client: Any = redis.Redis.from_url(stack.settings.redis_address)
        # The counters lie inside: what is read to count it is not counted.
        events_before, cpu_before, before = _read_events(client), _read_cpu(stack), _read(client)
        measure_latency(stack, runs, "counted")
        after, cpu_after, events_after = _read(client), _read_cpu(stack), _read_events(client)
    commands = {
        name: round((calls - before["commands"].get(name, 0)) / runs, 2)
        for name, calls in after["commands"].items()
        if name not in _BACKGROUND
    }
    return {
        "commands": {name: calls for name, calls in sorted(commands.items()) if calls >= 0.1},
        "bytes_to_redis": round((after["in"] - before["in"]) / runs),
        "bytes_from_redis": round((after["out"] - before["out"]) / runs),
        "event_bytes": {
            name: round((size - events_before[name]) / runs)
            for name, size in events_after.items()
            if size > events_before[name]
        },
        "cpu_us": {
            name: round((used - cpu_before[name]) / runs) for name, used in cpu_after.items()
        },
    }


def _read(client: Any) -> dict[str, Any]:  # noqa: ANN401 - redis-py has no types for its replies
    stats = client.info("stats")
    return {
        "commands": {
            name.removeprefix("cmdstat_"): one["calls"]
            for name, one in client.info("commandstats").items()
        },
        "in": stats["total_net_input_bytes"],
        "out": stats["total_net_output_bytes"],
    }


def _read_events(client: Any) -> dict[str, int]:  # noqa: ANN401 - as `_read`
    """Bytes of all events, by stream."""
    return {
        stream.name: sum(len(entry[b"event"]) for _, entry in client.xrange(key(stream, 0)))
        for stream in STREAMS
    }


def _read_cpu(stack: Stack) -> dict[str, int]:
    """Microseconds that each process used so far."""
    used = {}
    for name, process in stack.processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used[name] = (int(fields[11]) + int(fields[12])) * _TICK_US
    return used


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep the counts in bench/budget.json")
    given = parser.parse_args()
    counted = count(given.sandbox, given.runs)
    if given.write:
        kept = {name: value for name, value in counted.items() if name != "cpu_us"}
        BUDGET.write_text(json.dumps(kept, indent=2) + "\n")
    print(json.dumps(counted, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
