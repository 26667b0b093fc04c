"""The first call of a function where a generic sandbox is ready and its code is cached.

From the request's append to the publication of its result, alone, and while a neighbour's fifty
functions start cold: they have no network, so that no generic sandbox is theirs.

    python -m bench.first_call [--sandbox docker] [--calls 200] [--json]
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import redis
from msgspec import structs

from bench.warm import make_request, start
from local.stack import Stack
from shared.codec import decode, encode
from shared.events import InvocationRequested, Network
from shared.topology import PUBLICATIONS, REQUESTS, key

NEIGHBOURS = 50
_GENERIC = 32
_SECONDS_MAX = 120
_PAUSE_S = 0.7  # in which one generic sandbox is replaced and an old one removed


class Caller:
    """Appends requests and hears of results."""

    def __init__(self, stack: Stack) -> None:
        self._bucket = stack.settings.code_bucket
        self._client: Any = redis.Redis.from_url(stack.settings.redis_address)
        self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)

    def send(self, function: str, **given: object) -> str:
        """Append a first call of a function; its request id."""
        event = decode(make_request(f"{function}-1", self._bucket))
        assert isinstance(event, InvocationRequested)
        request = structs.replace(event, function_id=function, memory_mb=512, **given)
        self._client.xadd(key(REQUESTS, 0), {"event": encode(request)})
        return request.invocation_id

    def call(self, function: str, **given: object) -> float:
        """Milliseconds of a first call."""
        channel = f"result:{function}-1"
        self._pubsub.subscribe(channel)
        self._pubsub.get_message(timeout=5)
        began = time.perf_counter()
        self.send(function, **given)
        deadline = time.monotonic() + _SECONDS_MAX
        while self._pubsub.get_message(timeout=1) is None:
            assert time.monotonic() < deadline, f"{function} did not answer"
        took_ms = (time.perf_counter() - began) * 1_000
        self._pubsub.unsubscribe(channel)
        while self._pubsub.get_message(timeout=0.01) is not None:
            pass
        return took_ms

    def published(self) -> int:
        """Results so far."""
        return int(self._client.xlen(key(PUBLICATIONS, 0)))


def warm_up(caller: Caller) -> None:
    """Cache the code, and ask for as many generic sandboxes at once as are to be kept."""
    caller.call("warm-up")
    before = caller.published()
    for number in range(_GENERIC):
        caller.send(f"ask-{number}")
    while caller.published() < before + _GENERIC:
        time.sleep(0.1)
    time.sleep(_GENERIC * 0.5)


def measure_alone(caller: Caller, calls: int) -> list[float]:
    """First calls with pauses in which the pool recovers."""
    times = []
    for number in range(calls):
        times.append(caller.call(f"alone-{number}"))
        time.sleep(_PAUSE_S)
    return times


def measure_beside(caller: Caller, rounds: int) -> list[float]:
    """First calls while fifty functions of a neighbour start; until these have all answered."""
    times: list[float] = []
    for round_ in range(rounds):
        time.sleep(_GENERIC * 0.5)
        before, calls = caller.published(), 0
        for number in range(NEIGHBOURS):
            caller.send(f"neighbour-{round_}-{number}", network=Network.NONE)
        while caller.published() < before + NEIGHBOURS + calls:
            times.append(caller.call(f"beside-{round_}-{calls}"))
            calls += 1
            time.sleep(_PAUSE_S)
    return times


def summarise(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and how many."""
    ordered = sorted(times)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 2),
        "calls": len(ordered),
    }


def measure(sandbox: str, calls: int, rounds: int = 3) -> dict[str, Any]:
    """Both rows."""
    settings = {
        "GENERIC_SANDBOXES_MAX": str(_GENERIC),
        "POOL_POLICY": "fixed",
        "MEMORY_BUDGET_MB": str(512 * 100),  # granted, not used: no call touches ten of them
    }
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder,
        start(Path(folder), sandbox, 64, settings) as stack,
    ):
        caller = Caller(stack)
        warm_up(caller)
        alone = summarise(measure_alone(caller, calls))
        beside = summarise(measure_beside(caller, rounds))
    return {"first_call": alone, "first_call_beside_burst": beside}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measure(given.sandbox, given.calls)
    print(json.dumps(rows) if given.json else json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
