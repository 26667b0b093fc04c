"""`python -m bench.measure_functions`: runs each function at each size and keeps every run.

In real sandboxes of the executor, with the CPU share that the executor grants, measured by its
own meter and profiler. The sizes of one function take turns, call by call in changing order, so
that a noisy minute meets all of them. Between two calls the sandbox rests, as between invocations,
so that throttling that is still owed does not pass from one to the next.

Resumable: what is in the file already is not run again. It runs until each function has
`--runs` usable runs at each size (`measured.is_usable`), or `--rounds-max` rounds.
"""

import argparse
import json
import os
import platform
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.measured import Run, format_row, format_run, is_usable, read_runs
from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.cgroups import read_hierarchies
from executor.docker_sandbox import DockerFactory
from executor.frames import CALL, INIT, Decoder, Frame, encode
from executor.sandbox import Sandbox, SandboxFactory, SandboxSpec
from profiler.profile import estimate_profile
from shared.events import (
    Execution,
    Limits,
    Network,
    Outcome,
    Phases,
    Readings,
    Runtime,
    Start,
)

FOLDER = Path(__file__).parent / "functions"
FILE = Path(__file__).parent / "measured_functions.csv"
SIZES_MB = (128, 192, 256, 512, 768, 1024, 1769, 2560)
MB_PER_CORE = 1769
PERIOD_US = 20_000
SECONDS_MAX = 60
_LOOK_SECONDS = 0.1
CLOCK_TICKS = 100

FAMILIES = {
    "cpu": ("primes", "digest", "serialise", "words", "compress", "matrix", "tiny"),
    "memory": ("fill", "sort", "index"),
    "mixed": ("thumbnail", "report", "files"),
    "io": ("wait", "chatty", "echo", "gather"),
    "threads": ("threads2", "threads4", "processes2", "half_parallel"),
    "bursty": ("bursts", "ticks", "burst_then_wait"),
    "input": ("linear", "table"),
    "nodejs": ("node.parse", "node.hash", "node.api", "node.squeeze"),
}
INPUT_SIZES = {"linear": (0.5, 1.0, 2.0), "table": (0.5, 1.0, 2.0)}


@dataclass(frozen=True, slots=True)
class Function:
    """One of the functions."""

    name: str
    family: str

    @property
    def runtime(self) -> Runtime:
        """By its name."""
        return Runtime.NODEJS if self.name.startswith("node.") else Runtime.PYTHON

    @property
    def handler(self) -> str:
        """As a message would name it."""
        module = "index" if self.runtime is Runtime.NODEJS else "main"
        return f"{module}.{self.name.removeprefix('node.')}"


class Host:
    """What the whole machine uses: the root cgroup counts to the nanosecond."""

    def __init__(self) -> None:
        self._file = read_hierarchies()["cpuacct"].mount / "cpuacct.usage"

    def wait_for_calm(self, cores_max: float) -> None:
        """Return once everything else together uses little for a moment."""
        while True:
            began_us, began = self.used_us(), time.monotonic()
            time.sleep(_LOOK_SECONDS)
            if self.used_us() - began_us <= cores_max * (time.monotonic() - began) * 1e6:
                return

    def used_us(self) -> int:
        """CPU time of everything so far."""
        return int(self._file.read_text()) // 1_000

    def stolen_us(self) -> int:
        """What the hypervisor gave to others so far."""
        with Path("/proc/stat").open() as file:
            return int(file.readline().split()[8]) * 1_000_000 // CLOCK_TICKS


def read_delay_us(pid: int) -> int:
    """How long the main thread of a process was runnable and did not run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) // 1_000


class Seat:
    """One sandbox of a function at a size, warm after its first call."""

    def __init__(self, factory: SandboxFactory, function: Function, memory_mb: int) -> None:
        self.function = function
        quota_us = max(int(memory_mb / MB_PER_CORE * PERIOD_US), 1_000)
        self.limits = Limits(
            memory_mb=memory_mb,
            timeout_ms=SECONDS_MAX * 1_000,
            cpu_quota_us=quota_us,
            cpu_period_us=PERIOD_US,
        )
        self._decoder = Decoder()
        spec = SandboxSpec(
            function_id=function.name,
            runtime=function.runtime,
            handler=function.handler,
            code_dir=FOLDER / function.runtime,
            code_sha256="0" * 64,
            limits=self.limits,
            network=Network.NONE,
        )
        self.sandbox: Sandbox = factory.start(spec)
        self.sandbox.control.settimeout(SECONDS_MAX)
        peer = self.sandbox.control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self._pid = int.from_bytes(peer[:4], sys.byteorder)
        head = {"handler": function.handler, "function_id": function.name, "sandbox_id": "s"}
        ready = self._ask(encode(INIT, {**head, "memory_mb": memory_mb, "env": {}}))
        assert "failure" not in ready.head, ready.head
        assert self.sandbox.meter.limit_cpu(quota_us, PERIOD_US), "the CPU cannot be limited here"

    def call(self, number: int, size: float, host: Host) -> Run:
        """One invocation, with its readings."""
        body = json.dumps({"size": size}).encode()
        deadline_ms = time.time_ns() // 1_000_000 + SECONDS_MAX * 1_000
        frame = encode(CALL, {"id": "r", "deadline_ms": deadline_ms, "memory_mb": 1}, body)
        used_us, stolen_us = host.used_us(), host.stolen_us()
        delay_us = read_delay_us(self._pid)
        before = self.sandbox.meter.before()
        began_ns = time.monotonic_ns()
        answer = self._ask(frame)
        run_us = (time.monotonic_ns() - began_ns) // 1_000
        after = self.sandbox.meter.after()
        delay_us = read_delay_us(self._pid) - delay_us
        used_us, stolen_us = host.used_us() - used_us, host.stolen_us() - stolen_us
        assert "failure" not in answer.head, answer.head
        self._drop_logs()
        execution = Execution(
            function_id=self.function.name,
            outcome=Outcome.SUCCEEDED,
            requested_at_ms=0,
            start=Start.WARM,
            limits=self.limits,
            phases=Phases(run_us=run_us),
        )
        meter = self.sandbox.meter
        profile = estimate_profile(
            execution,
            Readings(source=meter.source, accuracy=meter.accuracy, before=before, after=after),
        )
        assert "throttled_us" not in profile.missing, profile.missing
        breakdown = profile.breakdown
        cpu_us = profile.cpu_user_us + profile.cpu_system_us
        return Run(
            function=self.function.name,
            family=self.function.family,
            runtime=self.function.runtime.value,
            memory_mb=self.limits.memory_mb,
            quota_us=self.limits.cpu_quota_us or 0,
            period_us=PERIOD_US,
            round=number,
            size=size,
            input_bytes=len(body),
            run_us=run_us,
            cpu_user_us=profile.cpu_user_us,
            cpu_system_us=profile.cpu_system_us,
            throttled_us=profile.throttled_us,
            throttled_periods=profile.throttled_periods,
            on_cpu_us=breakdown.on_cpu_us,
            throttled_wall_us=breakdown.throttled_us,
            waiting_us=run_us - breakdown.on_cpu_us - breakdown.throttled_us,
            peak_bytes=profile.memory_peak_bytes,
            baseline_bytes=profile.memory_baseline_bytes,
            delay_us=max(delay_us, 0),
            others_us=max(used_us - cpu_us, 0),
            stolen_us=stolen_us,
        )

    def _ask(self, frame: bytes) -> Frame:
        control = self.sandbox.control
        control.sendall(frame)
        while received := control.recv(1 << 20):
            if frames := self._decoder.feed(received):
                return frames[0]
        raise RuntimeError(f"{self.function.name}: {self.sandbox.describe_exit().reason}")

    def _drop_logs(self) -> None:
        try:
            while self.sandbox.logs.recv(1 << 16):
                pass
        except BlockingIOError:
            pass


def measure(
    function: Function, factory: SandboxFactory, done: Counter[int], options: argparse.Namespace
) -> None:
    """Rounds over all sizes until each has its runs; every run is written at once."""
    host, generator = Host(), Random(function.name)
    with ExitStack() as stack, options.out.open("a") as file:
        seats = [Seat(factory, function, memory_mb) for memory_mb in options.sizes]
        for seat in seats:
            stack.callback(seat.sandbox.destroy)
        for number in range(options.rounds_max + 1):
            left = [seat for seat in seats if done[seat.limits.memory_mb] < options.runs]
            if not left:
                break
            generator.shuffle(left)
            choice = INPUT_SIZES.get(function.name, (1.0,))
            size = choice[number % len(choice)]
            for seat in left:
                time.sleep(0.06 + 0.04 * generator.random())  # the debt of a throttled call
                if options.calm:
                    host.wait_for_calm(options.calm)
                run = seat.call(number, size, host)
                done[seat.limits.memory_mb] += is_usable(run)
                file.write(format_run(run))
            file.flush()


def describe_host(sandbox: str) -> str:
    """The lines at the head of a file: how it was made, and where."""
    host = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}"
    return (
        f"# made by python -m bench.measure_functions, sandbox {sandbox}; {host}\n"
        "# one line a call, in order; bench/measured.py says what the columns are and which count\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing in the file."""
    parser = argparse.ArgumentParser(prog="python -m bench.measure_functions")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--sandbox", choices=("bubblewrap", "docker"), default="bubblewrap")
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--rounds-max", type=int, default=60)
    parser.add_argument("--calm", type=float, default=0.0, metavar="CORES",
                        help="begin a call only while others use less than this")  # fmt: skip
    parser.add_argument("--sizes", type=lambda text: [int(one) for one in text.split(",")],
                        default=list(SIZES_MB))  # fmt: skip
    parser.add_argument("--functions", type=lambda text: text.split(","), default=[])
    options = parser.parse_args(arguments)
    functions = [Function(n, family) for family, names in FAMILIES.items() for n in names]
    if not options.out.exists():
        options.out.write_text(describe_host(options.sandbox) + format_row(Run.__struct_fields__))
    runs = [run for run in read_runs(options.out) if is_usable(run)]
    done = Counter((run.function, run.memory_mb) for run in runs)
    with tempfile.TemporaryDirectory() as state:
        make = DockerFactory if options.sandbox == "docker" else BubblewrapFactory
        factory = make(Path(state), "measure")
        for function in functions:
            if options.functions and function.name not in options.functions:
                continue
            counts = Counter({mb: done[function.name, mb] for mb in options.sizes})
            began = time.monotonic()
            measure(function, factory, counts, options)
            print(f"{function.name:<16} {time.monotonic() - began:6.1f} s  {dict(counts)}")
            sys.stdout.flush()
        factory.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
