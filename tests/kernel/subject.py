"""A function with a known truth, in a cgroup of its own, measured as the executor measures.

A plain process and no sandbox: it may write to a disk and leave children. Made with the executor's
own cgroups and meter, so it works wherever they do.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.own_cgroup import (
    create_cgroup,
    files_to_join,
    kill_cgroup,
    plan_cgroup,
    remove_cgroup,
)
from executor.readings import Meter
from executor.series import AFTER_MS, Samples
from profiler.profile import estimate_profile
from shared.events import (
    Execution,
    Limits,
    Outcome,
    Phases,
    Profile,
    Readings,
    Start,
)
from tests.kernel.precedence import at_once, prefer

PERIOD_US = 20_000
FUNCTIONS = Path(__file__).with_name("functions.py")


@dataclass(frozen=True)
class Run:
    """One measured call."""

    run_us: int
    readings: Readings
    profile: Profile
    truth: dict[str, Any]  # what the function knows of itself


class Subject:
    """The resident process."""

    def __init__(
        self, process: subprocess.Popen[str], limits: Limits, folders: tuple[Path, ...]
    ) -> None:
        self._process = process
        self._limits = limits
        self.folders = folders
        assert process.stdout is not None
        self.pid = int(process.stdout.readline())
        self.meter = Meter(self.pid)
        if limits.cpu_quota_us is not None:
            assert self.meter.limit_cpu(limits.cpu_quota_us, limits.cpu_period_us)

    def reopen(self) -> None:
        """Measure anew: something of the process is another now."""
        self.meter.close()
        self.meter = Meter(self.pid)

    def call(self, function: str, *arguments: object) -> Run:
        """Run one of `functions.py`; raises BrokenPipeError if it was killed."""
        with at_once():
            return self._call(json.dumps([function, *arguments]) + "\n")

    def _call(self, order: str) -> Run:
        assert self._process.stdin is not None
        previous = self.meter.previous
        before = self.meter.before()
        began_ns = time.monotonic_ns()
        self._process.stdin.write(order)
        self._process.stdin.flush()
        samples = self._wait(began_ns)
        run_us = (time.monotonic_ns() - began_ns) // 1000
        readings = Readings(
            source=self.meter.source,
            accuracy=self.meter.accuracy,
            before=before,
            after=self.meter.after(),
            previous=previous,
            series=samples.finish() if samples else None,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return Run(
            run_us,
            readings,
            estimate_profile(make_execution(run_us, self._limits), readings),
            json.loads(line) if line else {"killed": True},
        )

    def rest(self) -> bool:
        """What the executor does with an idle sandbox; whether its calls got a new cgroup."""
        return rest(self.meter)

    def _wait(self, began_ns: int) -> Samples | None:
        """As the executor's loop does."""
        samples, wait_ms = None, AFTER_MS
        with selectors.DefaultSelector() as selector:
            assert self._process.stdout is not None
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not selector.select(wait_ms / 1000):
                files = self.meter.memory_of_series, self.meter.cpu_of_series
                if not any(files):
                    continue
                samples = samples or Samples(*files)
                samples.add((time.monotonic_ns() - began_ns) // 1000, *self.meter.sample())
                wait_ms = samples.interval_ms
        return samples


def rest(meter: Meter) -> bool:
    """As `executor.rest`, all at once."""
    memory = meter.call_memory
    if memory is None or not memory.wants_renewal():
        return False
    memory.forget()
    mark = memory.renew()
    memory.adopt(mark)
    return mark is not None


def make_execution(run_us: int, limits: Limits) -> Execution:
    """What the profiler needs to know besides the readings."""
    return Execution(
        function_id="subject",
        outcome=Outcome.SUCCEEDED,
        requested_at_ms=1,
        start=Start.WARM,
        limits=limits,
        phases=Phases(run_us=run_us),
    )


@contextmanager
def started(
    *,
    memory_mb: int = 512,
    cpu_quota_us: int | None = None,
    has_cgroup: bool = True,
    folder: Path | None = None,
) -> Iterator[Subject]:
    """A subject for a while; `folder` is where it may write."""
    limits = Limits(
        memory_mb=memory_mb, timeout_ms=60_000, cpu_quota_us=cpu_quota_us, cpu_period_us=PERIOD_US
    )
    folders = (
        plan_cgroup(f"hearth-subject-{os.getpid()}-{time.monotonic_ns()}") if has_cgroup else ()
    )
    if has_cgroup:
        assert create_cgroup(folders, limits, 64), "no cgroup may be made here"
        prefer(folders)
    process = subprocess.Popen(
        [
            *(
                "/bin/sh",
                "-c",
                'while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift; exec "$@"',
            ),
            *("sh", *files_to_join(folders), "--"),
            *("unshare", "--net", sys.executable, "-I", "-S", str(FUNCTIONS)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
    )
    subject = None
    try:
        subject = Subject(process, limits, tuple(folders))
        for _ in range(2):  # warm, as sandboxes are: its code was run before
            subject.call("sleep", 0)
        yield subject
    finally:
        if subject is not None:
            subject.meter.retire()
            subject.meter.close()
        os.killpg(process.pid, signal.SIGKILL)
        kill_cgroup(folders)
        process.communicate()
        remove_cgroup(folders)
