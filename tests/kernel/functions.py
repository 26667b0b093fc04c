"""Functions with a known truth; a resident program that runs them on request.

Each returns what it knows of itself from how it is built: how long it slept, how much it wrote, how
much CPU it burnt by its own clock. It imports nothing of the project.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

MIB = 1 << 20
Truth = dict[str, int]
KEPT: list[int] = []  # pipes to the child that stays


def allocate(mebibytes: int) -> Truth:
    """Memory that is really there: a page is charged when it is first written."""
    block = bytearray(mebibytes * MIB)
    for at in range(0, len(block), 4096):
        block[at] = 1
    return {"bytes": len(block)}


def allocate_in_child(mebibytes: int) -> Truth:
    """The same in a forked child."""
    child = os.fork()
    if child == 0:
        allocate(mebibytes)
        os._exit(0)
    os.waitpid(child, 0)
    return {"bytes": mebibytes * MIB}


def keep_child() -> Truth:
    """A forked child that stays, and allocates when it is asked to."""
    orders, answers = os.pipe(), os.pipe()
    if os.fork() == 0:
        while True:
            allocate(int(os.read(orders[0], 9)))
            os.write(answers[1], b"done")
    KEPT[:] = [orders[1], answers[0]]
    return {}


def allocate_in_kept_child(mebibytes: int) -> Truth:
    """It does, and frees it again."""
    os.write(KEPT[0], str(mebibytes).encode())
    os.read(KEPT[1], 4)
    return {"bytes": mebibytes * MIB}


def burn(ms: int) -> Truth:
    """CPU time of one thread."""
    until = time.thread_time() + ms / 1000
    while time.thread_time() < until:
        pass
    return {"cpu_us": ms * 1000}


def burn_in_threads(ms: int, count: int) -> Truth:
    """`count` processes' worth of CPU time in parallel: threads of this language take turns."""
    children = [fork_and_burn(ms) for _ in range(count)]
    for child in children:
        os.waitpid(child, 0)
    return {"cpu_us": ms * 1000 * count}


def burn_in_child(ms: int) -> Truth:
    """A child does the work."""
    os.waitpid(fork_and_burn(ms), 0)
    return {"cpu_us": ms * 1000}


def fork_and_burn(ms: int) -> int:
    child = os.fork()
    if child == 0:
        burn(ms)
        os._exit(0)
    return child


def sleep(ms: int) -> Truth:
    """Nothing at all; for how long by its own clock, since a machine may be stopped meanwhile."""
    began = time.monotonic()
    time.sleep(ms / 1000)
    return {"waiting_us": int((time.monotonic() - began) * 1e6)}


def mix(steps: list[list[Any]]) -> Truth:
    """One thing after the other; sums of what each knows."""
    sums: Truth = {}
    for name, *arguments in steps:
        for key, value in FUNCTIONS[name](*arguments).items():
            sums[key] = sums.get(key, 0) + value
    return sums


def write(mebibytes: int, *, keep: bool = False) -> Truth:
    """Written and synced; all of the time but its CPU time is the disk's."""
    began, cpu_began = time.monotonic(), time.thread_time()
    descriptor = os.open("written", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(mebibytes):
        os.write(descriptor, bytes(MIB))
    os.fsync(descriptor)
    os.close(descriptor)
    if not keep:
        Path("written").unlink()
    wall_s, cpu_s = time.monotonic() - began, time.thread_time() - cpu_began
    return {
        "bytes": mebibytes * MIB,
        "block_io_us": int((wall_s - cpu_s) * 1e6),
        "cpu_us": int(cpu_s * 1e6),
    }


def push(mebibytes: int, path: str) -> Truth:
    """Hold nearly all of the limit, then read a file whose pages find no room."""
    held = bytearray(mebibytes * MIB)
    for at in range(0, len(held), 4096):
        held[at] = 1
    began, cpu_began = time.monotonic(), time.thread_time()
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # whoever wrote it holds its pages
    for _ in range(3):
        os.lseek(descriptor, 0, 0)
        while os.read(descriptor, MIB):
            pass
    os.close(descriptor)
    wall_s, cpu_s = time.monotonic() - began, time.thread_time() - cpu_began
    return {"stalled_us": int((wall_s - cpu_s) * 1e6), "cpu_us": int(cpu_s * 1e6)}


def hold(mebibytes: int, ms: int) -> Truth:
    """Memory for a while."""
    block = bytearray(mebibytes * MIB)
    for at in range(0, len(block), 4096):
        block[at] = 1
    return sleep(ms) | {"bytes": len(block)}


def fetch(host: str, port: int) -> Truth:
    """Everything that a server sends; nearly all of the time is waiting for it."""
    received = 0
    began, cpu_began = time.monotonic(), time.thread_time()
    with socket.create_connection((host, port)) as connection:
        while some := connection.recv(65_536):
            received += len(some)
    wall_s, cpu_s = time.monotonic() - began, time.thread_time() - cpu_began
    return {"bytes": received, "waiting_us": int((wall_s - cpu_s) * 1e6)}


def read_back(mebibytes: int) -> Truth:
    """Written, synced, dropped from memory and read from the disk again."""
    truth = write(mebibytes, keep=True)
    descriptor = os.open("written", os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    while os.read(descriptor, MIB):
        pass
    os.close(descriptor)
    Path("written").unlink()
    return truth | {"read_bytes": mebibytes * MIB}


def burn_later(ms: int) -> Truth:
    """CPU after the answer: a thread that goes on."""
    threading.Timer(0.05, burn, [ms]).start()
    return {"cpu_after_answer_us": ms * 1000}


def spawn(*command: str) -> Truth:
    """A program from start to end."""
    subprocess.run(command, check=True)
    return {}


FUNCTIONS: dict[str, Any] = {name: value for name, value in globals().items() if callable(value)}


def own_cpu_us() -> int:
    """CPU time of this process and of the children it waited for, by getrusage."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return int(sum(usage.ru_utime + usage.ru_stime for usage in used) * 1e6)


def main() -> None:
    print(os.getpid(), flush=True)
    before_us = own_cpu_us()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        truth = FUNCTIONS[name](*arguments)
        truth["own_cpu_us"] = own_cpu_us() - before_us
        print(json.dumps(truth), flush=True)
        before_us = own_cpu_us()


if __name__ == "__main__":
    main()
