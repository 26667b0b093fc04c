"""The table with the peers: the same machine, the same call, each at its best.

    python -m bench --only peers [--quick]

A Redis of its own for each, without an append-only file, as they come: in the peers' favour, for
Hearth's keeps what it acknowledged. Each configuration is measured and the best figure of each kind
counts, though no single configuration may reach all of them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ENVIRONMENT = FOLDER.parent.parent / "build" / "peers"
_SECONDS_MAX = 60

Command = tuple[str, ...]

# By peer, the configurations that are tried; each is what one types in one or more terminals.
CONFIGURATIONS: dict[str, tuple[tuple[Command, ...], ...]] = {
    "huey": (
        (("huey_consumer", "huey_peer.huey", "-k", "thread", "-w", "8", "-n", "-q"),),
        (("huey_consumer", "huey_peer.huey", "-k", "process", "-w", "8", "-n", "-q"),),
    ),
    "dramatiq": (
        (("dramatiq", "dramatiq_peer", "--processes", "2", "--threads", "4"),),
        (("dramatiq", "dramatiq_peer", "--processes", "1", "--threads", "8"),),
    ),
    "taskiq": (
        (("taskiq", "worker", "taskiq_peer:broker", "--workers", "2", "--log-level", "ERROR"),),
        (("taskiq", "worker", "taskiq_peer:broker", "--workers", "1", "--log-level", "ERROR"),),
    ),
    "celery": (
        (("celery", "-A", "celery_peer", "worker", "-P", "prefork", "-c", "8", "-l", "ERROR",
          "--without-gossip", "--without-mingle", "--without-heartbeat"),),
        (("celery", "-A", "celery_peer", "worker", "-P", "threads", "-c", "8", "-l", "ERROR",
          "--without-gossip", "--without-mingle", "--without-heartbeat"),),
    ),
    "arq": ((("arq", "arq_peer.WorkerSettings"),), (("arq", "arq_peer.WorkerSettings"),) * 2),
    "streaq": (
        (("streaq", "run", "streaq_peer:worker"),),
        (("streaq", "run", "streaq_peer:worker", "--workers", "2"),),
    ),
    "rq": ((("rq", "worker", "-w", "rq.worker.SimpleWorker", "-q"),) * 4,),
}  # fmt: skip


def make_environment() -> Path:
    """The folder of the peers' programs; installed on the first call."""
    programs = ENVIRONMENT / "bin"
    wanted = (FOLDER / "requirements.txt").read_text()
    installed = ENVIRONMENT / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        pip = [programs / "pip", "install", "--quiet", "-r", FOLDER / "requirements.txt"]
        subprocess.run(pip, check=True)
        installed.write_text(wanted)
    return programs


def list_versions() -> dict[str, str]:
    """Of each peer, what is measured."""
    listed = subprocess.run(
        [ENVIRONMENT / "bin" / "pip", "list", "--format", "json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    versions = {one["name"]: one["version"] for one in json.loads(listed.stdout)}
    return {name: versions[name] for name in CONFIGURATIONS}


def measure(runs: int, count: int, count_five_ms: int) -> dict[str, Any]:
    """By peer: the best of each figure."""
    programs = make_environment()
    rows: dict[str, Any] = {}
    for name, configurations in CONFIGURATIONS.items():
        figures = [
            _measure_one(programs, name, workers, (runs, count, count_five_ms))
            for workers in configurations
        ]
        rows[name] = {
            figure: (min if figure.endswith("_ms") else max)(one[figure] for one in figures)
            for figure in figures[0]
        }
    return {"versions": list_versions(), "rows": rows}


def _measure_one(
    programs: Path, name: str, workers: tuple[Command, ...], counts: tuple[int, int, int]
) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="hearth-peers-") as folder:
        pipe = Path(folder) / "done"
        os.mkfifo(pipe)
        # Open at both ends, so that no worker waits for a reader.
        held = os.open(pipe, os.O_RDWR)
        try:
            with _redis(Path(folder)) as url:
                environment = {
                    "PATH": f"{programs}:/usr/bin:/bin",
                    "HOME": folder,
                    "PEERS_REDIS": url,
                    "RQ_REDIS_URL": url,
                    "PEERS_DONE": str(pipe),
                    "PYTHONPATH": str(FOLDER),
                    "PYTHONDONTWRITEBYTECODE": "1",
                }
                with _workers(workers, environment):
                    command = [programs / "python", FOLDER / "driver.py", f"{name}_peer"]
                    done = subprocess.run(
                        [*command, *map(str, counts)],
                        cwd=FOLDER, env=environment, capture_output=True, text=True,
                        timeout=_SECONDS_MAX, check=False,
                    )  # fmt: skip
        finally:
            os.close(held)
    assert done.returncode == 0, f"{name}: {done.stderr[-2_000:] or done.stdout[-500:]}"
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", "--dir", str(folder), "--loglevel", "warning"]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def _workers(commands: tuple[Command, ...], environment: dict[str, str]) -> Iterator[None]:
    started = [
        subprocess.Popen(
            command, cwd=FOLDER, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]  # fmt: skip
    try:
        yield
    finally:
        for worker in started:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(10)
