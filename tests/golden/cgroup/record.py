"""Record the captures of this folder: run as root on a machine with cgroup v1 (see README.md).

Not a test. Each capture is one invocation of a made-up function in a cgroup of its own, read by the
executor's own meter, so that the profiler is tested with what it will really be given.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from executor.readings import Meter
from shared.events import Accuracy

FOLDER = Path(__file__).parent
CONTROLLERS = ("cpu", "cpuacct", "memory", "blkio")
PERIOD_US = 20_000

FUNCTIONS = {
    "waiting": "block = bytearray(30 << 20); time.sleep(0.45)",
    "cpu_bound": "burn(0.578)",
    "two_processes": "pid = os.fork()\nburn(0.3)\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)",
    "disk": (
        "f = os.open('golden-scratch', os.O_RDWR | os.O_CREAT)\n"
        "os.write(f, bytes(4 << 20)); os.fsync(f)\n"
        "os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED); os.pread(f, 1 << 20, 0)\n"
        "os.close(f); os.unlink('golden-scratch')"
    ),
}
BOOTSTRAP = """
import os, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
functions = {functions!r}
print("ready", flush=True)
for name in sys.stdin:
    exec(functions[name.strip()])
    print("done", flush=True)
"""


def join(name: str, memory_mb: int, quota_us: int) -> list[Path]:
    """New v1 cgroups with Lambda's share of the CPU."""
    folders = [Path("/sys/fs/cgroup") / controller / name for controller in CONTROLLERS]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (folders[0] / "cpu.cfs_quota_us").write_text(str(quota_us))
    (folders[0] / "cpu.shares").write_text("200000")  # whatever else is busy on the machine
    (folders[2] / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
    return folders


def start(folders: list[Path]) -> subprocess.Popen[str]:
    """The function's process, in the cgroups before it allocates anything."""
    files = " ".join(str(folder / "cgroup.procs") for folder in folders)
    shell = f'for f in {files}; do echo $$ > $f; done; exec "$0" -c "$1"'
    source = BOOTSTRAP.format(functions=FUNCTIONS)
    process = subprocess.Popen(
        ["sh", "-c", shell, sys.executable, source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def read_more(files: dict[str, str], pid: int) -> dict[str, str]:
    """What the profiler can use and a meter may not read yet: exact CPU time, process I/O."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    folder = next(line.split(":", 2)[2] for line in lines if ":cpuacct:" in line).lstrip("/")
    more = {"io": Path(f"/proc/{pid}/io").read_text()}
    if "golden" in folder:
        more["cpuacct.usage"] = Path("/sys/fs/cgroup/cpuacct", folder, "cpuacct.usage").read_text()
    return more | files


def record(path: Path, process: subprocess.Popen[str], function: str) -> None:
    """One invocation, as text: a header, then each file before and after."""
    assert process.stdin is not None
    assert process.stdout is not None
    meter = Meter(process.pid)
    before = read_more(meter.before(), process.pid)
    started_ns = time.monotonic_ns()
    process.stdin.write(function + "\n")
    process.stdin.flush()
    process.stdout.readline()
    run_us = (time.monotonic_ns() - started_ns) // 1000
    after = read_more(meter.after(), process.pid)
    assert meter.accuracy is not Accuracy.NONE
    parts = [f"run_us {run_us}\nsource {meter.source}\naccuracy {meter.accuracy}\n"]
    for moment, files in (("before", before), ("after", after)):
        parts += [f"=== {moment} {name}\n{text}" for name, text in files.items()]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(parts))
    meter.close()


def main() -> None:
    """Every function once in a cgroup of 512 MB, two of them without any."""
    name = f"hearth-golden-{os.getpid()}"
    for function in FUNCTIONS:
        quota_us = PERIOD_US * 2 if function == "two_processes" else PERIOD_US * 512 // 1769
        folders = join(name, 512, quota_us)
        process = start(folders)
        record(FOLDER / "v1" / f"{function}.txt", process, function)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.1)
        for folder in folders:
            folder.rmdir()
    for function in ("waiting", "cpu_bound"):
        process = start([])
        record(FOLDER / "process" / f"{function}.txt", process, function)
        process.send_signal(signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
