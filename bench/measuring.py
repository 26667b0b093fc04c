"""What measuring an invocation costs: the same warm calls with it and without, in turns.

A call is what the executor and the profiler do for one: readings, the frame to the sandbox and its
answer, readings, the event written and read, the profile made and written. Without measuring, the
meter reads nothing and the event holds no readings. In turns, so that what else the machine does
meets both alike. Not here: Redis, the other stages (`python -m bench`).

    python -m bench.measuring [--sandbox docker|bubblewrap] [--calls 3000] [--json]
"""

import argparse
import json
import select
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.warm import HANDLER, make_request
from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.choose_channel import open_channel
from executor.code_store import StoredCode
from executor.docker_sandbox import DockerFactory
from executor.endings import interpret_answer
from executor.invocation import Invocation, finish
from executor.log_spool import LogSpool
from executor.readings import Meter
from executor.sandbox import SandboxFactory, SandboxSpec
from executor.seat import Seat
from profiler.stage import handle
from shared.codec import decode, encode
from shared.events import Accuracy, InvocationRequested, Limits, Network
from shared.inbox import Delivery
from shared.topology import REQUESTS

_LIMITS = Limits(memory_mb=1_769, timeout_ms=30_000, cpu_quota_us=20_000)
_WARM_UP = 200
_DELIVERY = Delivery(REQUESTS, 0, entry_id="1-0", attempt=1, payload=b"")


class Blind:
    """A meter that measures nothing."""

    source = "process"
    accuracy = Accuracy.NONE

    def __init__(self) -> None:
        self.previous: dict[str, str] = {}

    def before(self) -> dict[str, str]:
        """Nothing."""
        return {}

    after = before


def call(seat: Seat, request: InvocationRequested) -> float:
    """Microseconds of one call."""
    began = time.perf_counter_ns()
    invocation = Invocation(_DELIVERY, request)
    seat.send_call(invocation)
    while not (frames := seat.channel.receive()):
        assert frames is not None, "the sandbox is gone"
        select.select([seat.sandbox.control], [], [], 5)
    left = seat.remains(seat.elapsed_us())
    ending = interpret_answer(None, frames[0].body, seat.limits, left)
    seat.invocation = None
    event = finish(invocation, ending, limits=seat.limits, worker_id="bench", now_ms=1)
    for output in handle(decode(encode(event))):
        encode(output)
    return (time.perf_counter_ns() - began) / 1_000


def time_readings(meter: Meter, count: int) -> float:
    """Microseconds of both readings of a call, the median."""

    def once() -> float:
        began = time.perf_counter_ns()
        meter.before()
        meter.after()
        return (time.perf_counter_ns() - began) / 1_000

    return statistics.median(once() for _ in range(count))


@contextmanager
def started(kind: str) -> Iterator[Seat]:
    """A warm sandbox of the no-op function, as the executor's loop holds it."""
    makers: dict[str, Callable[[Path], SandboxFactory]] = {
        "docker": DockerFactory,
        "bubblewrap": BubblewrapFactory,
    }
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        code = folder / "code"
        code.mkdir(mode=0o755)
        (code / "main.py").write_text(HANDLER)
        request = read_request()
        factory = makers[kind](folder / "state")
        spec = SandboxSpec(
            function_id=request.function_id,
            runtime=request.runtime,
            handler=request.handler,
            code_dir=code,
            code_sha256="0" * 64,
            limits=_LIMITS,
            network=Network.EGRESS,
        )
        sandbox = factory.start(spec)
        log = LogSpool(folder, inline_bytes_max=16_384, bytes_max=16_384)
        stored = StoredCode(code, "0" * 64)
        seat = Seat(sandbox, open_channel(sandbox), (), _LIMITS, stored, log, region="x")
        seat.send_init(Invocation(_DELIVERY, request))
        select.select([sandbox.control], [], [], 30)
        seat.channel.receive()
        seat.initialised = True
        seat.limit_cpu()
        try:
            yield seat
        finally:
            sandbox.destroy()
            factory.close()


def read_request() -> InvocationRequested:
    """The request of every call."""
    request = decode(make_request("measured", "bench"))
    assert isinstance(request, InvocationRequested)
    return request


def measure(kind: str, calls: int) -> dict[str, float | int | str]:
    """The rows of the table; times in milliseconds."""
    request = read_request()
    with started(kind) as seat:
        meter = seat.sandbox.meter
        times: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * (calls + _WARM_UP)):
            is_on = number % 2 == 0
            seat.sandbox.meter = meter if is_on else Blind()  # type: ignore[assignment]
            times[is_on].append(call(seat, request))
        on, off = (statistics.median(times[way][_WARM_UP:]) for way in (True, False))
        readings_us = time_readings(meter, calls)
        seat.sandbox.meter = meter
        files = len(meter.after())
        return {
            "sandbox": kind,
            "calls": calls,
            "source": meter.source,
            "accuracy": str(meter.accuracy),
            "files": files,
            "call_measured_ms_p50": round(on / 1_000, 4),
            "call_unmeasured_ms_p50": round(off / 1_000, 4),
            "measuring_ms_p50": round((on - off) / 1_000, 4),
            "readings_ms_p50": round(readings_us / 1_000, 4),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", default="docker", choices=["docker", "bubblewrap"])
    parser.add_argument("--calls", type=int, default=3_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measure(given.sandbox, given.calls)
    if given.json:
        print(json.dumps(rows))
    else:
        for name, figure in rows.items():
            print(f"{name:<26}{figure}")


if __name__ == "__main__":
    main()
