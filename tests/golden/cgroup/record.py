"""Record the captures of this folder, as root: `record.py FOLDER` (see README.md).

Not a test. Each capture is one call of a function of `tests/kernel/functions.py` in a cgroup of its
own, read by the executor's own meter, so that the profiler is tested with what it will be given.
"""

import sys
from pathlib import Path
from typing import Any

from shared.events import Readings
from tests.kernel.subject import PERIOD_US, Run, started

HERE = Path(__file__).parent
_SHARE_US = PERIOD_US * 512 // 1769
CAPTURES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "waiting": ({"cpu_quota_us": _SHARE_US}, ("hold", 30, 450)),
    "cpu_bound": ({"cpu_quota_us": _SHARE_US}, ("burn", 578)),
    "two_processes": ({}, ("burn_in_threads", 300, 2)),
    "disk": ({}, ("read_back", 4)),
    "small_after_large": ({}, ("allocate", 5)),
    "out_of_memory": ({"memory_mb": 64}, ("allocate_in_child", 200)),
    "child_after_a_larger": ({}, ("allocate_in_child", 5)),
}
_EARLIER = {"child_after_a_larger": "allocate_in_child"}


def format_capture(run: Run) -> str:
    """A header, then each file: the kernel's text unchanged."""
    readings = run.readings
    parts = [
        f"run_us {run.run_us}\nsource {readings.source}\naccuracy {readings.accuracy}\n",
    ]
    for moment in ("previous", "before", "after"):
        files: dict[str, str] = getattr(readings, moment)
        parts += [f"=== {moment} {name}\n{text}" for name, text in sorted(files.items())]
    if readings.series:
        series = readings.series
        parts.append(f"=== series {series.memory_file} {series.cpu_file}\n")
        rows = zip(series.at_us, series.memory, series.cpu, strict=True)
        parts += [f"{at_us}\t{memory.strip()}\t{cpu.strip()}\n" for at_us, memory, cpu in rows]
    return "".join(parts)


def record(folder: Path, scratch: Path, *, has_cgroup: bool = True) -> None:
    """Every function once, after a call that took more memory than it will."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (limits, call) in CAPTURES.items():
        if not has_cgroup and limits.get("memory_mb"):
            continue
        given = limits if has_cgroup else {}
        with started(folder=scratch, has_cgroup=has_cgroup, **given) as subject:
            subject.call(_EARLIER.get(name, "allocate"), 50)
            subject.rest()
            (folder / f"{name}.txt").write_text(format_capture(subject.call(*call)))


def kind_of_machine() -> str:
    """The folder's name for what this machine has: v1, or v2 with the kernel's version."""
    with started() as subject:
        readings: Readings = subject.call("sleep", 1).readings
    release = Path("/proc/sys/kernel/osrelease").read_text()
    version = "-".join(release.split(".")[:2])
    return "v1" if readings.source == "cgroup1" else f"v2-{version.replace('-', '.')}"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else target
    record(target / kind_of_machine(), place)
    if target == HERE:
        record(target / "process", place, has_cgroup=False)
