"""The arena: a whole stack with one kind of sandbox, in which the attempts of the corpus are run.

Four attempts run at a time, and after each of them another function is called: it must be served on
time. Everything goes the way of every message, from SQS to the document.
"""

import io
import os
import time
import uuid
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import redis

from local.stack import Stack
from shared.events import Runtime
from tests.e2e.client import Client
from tests.escapes.corpus import Attempt
from tests.escapes.host import (
    Listeners,
    find_gateway,
    find_processes,
    list_addresses,
    read_clock,
    take_snapshot,
)
from tests.fixtures_redis import RedisServer

INSIDE = Path(__file__).parent / "inside"
SETTINGS = {
    "OUTPUT_DIR_MB": "64",
    "SANDBOXES_MAX": "8",
    "TMP_MB": "64",
    "PIDS_MAX": "64",
    "CPU_POLICY": "fixed",
    "CPU_FIXED": "0.7",
}
AT_ONCE = 4
PORT = 8000
NEIGHBOUR = """
import os, pathlib, socket, threading
SECRET = "%s"
server = socket.create_server(("0.0.0.0", 8000))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 8000))
callers = []

def listen():
    while True:
        connection, caller = server.accept()
        callers.append(caller[0])
        connection.sendall(SECRET.encode())
        connection.close()

def hear():
    while True:
        said, caller = datagrams.recvfrom(64)
        callers.append(caller[0])
        datagrams.sendto(SECRET.encode(), caller)

threading.Thread(target=listen, daemon=True).start()
threading.Thread(target=hear, daemon=True).start()
pathlib.Path("/tmp/secret").write_text(SECRET)

def handler(event, context):
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "127.0.0.1"
    return {"secret": pathlib.Path("/tmp/secret").read_text(), "callers": callers,
            "address": address, "name": socket.gethostname(), "files": os.listdir("/tmp")}
"""


def owner_label(stack: Stack) -> str:
    """What the containers of a stack are labelled with."""
    root = Path(stack.settings.state_dir).resolve()
    return sha256(str(root).encode()).hexdigest()[:16]


class Arena:
    """One stack, its neighbour function, its canaries, and the results of the attempts."""

    def __init__(self, kind: str, stack: Stack, client: Client, folder: Path) -> None:
        self.host_before, self.clock_before = take_snapshot(), read_clock()
        self.kind = kind
        self.stack = stack
        self.client = client
        self.mark = f"escape-{uuid.uuid4().hex}"
        self.secret = f"secret-{uuid.uuid4().hex}"
        self.containers: set[str] = set()
        self.results: dict[str, dict[str, Any]] = {}
        self.pulses: dict[str, dict[str, Any]] = {}
        self.pulse_seconds: dict[str, float] = {}
        self.host_file = folder / "host-file"
        self.host_file.write_text(self.secret)
        self.host_file.chmod(0o666)
        self._docker = docker.from_env() if kind == "docker" else None
        self._deploy()
        self.first_pulse = self.pulse("first")
        gateway = find_gateway() if kind == "docker" else None
        (folder / "redis").mkdir()
        self.redis = RedisServer(folder / "redis", also=[gateway] if gateway else [])
        self.redis.start()
        self.listeners = Listeners(list_addresses())

    def _deploy(self) -> None:
        self.client.deploy("neighbour", {"main.py": NEIGHBOUR % self.secret})
        for runtime in (Runtime.PYTHON, Runtime.NODEJS):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for path in sorted(filter(Path.is_file, (INSIDE / runtime).iterdir())):
                    archive.write(path, path.name)
            self.client.s3.put_object(
                Bucket=self.client.code_bucket,
                Key=f"attempts/{runtime}.zip",
                Body=buffer.getvalue(),
            )

    # -- running -----------------------------------------------------------------------------------

    def run(self, attempts: Iterable[Attempt], seconds: float = 150) -> None:
        """All of them, several at a time, each followed by a call of the neighbour."""
        waiting, running = list(attempts), dict[str, Attempt]()
        pulsing = dict[str, float]()
        deadline = time.monotonic() + seconds
        where = self.describe()
        noted_at = 0.0
        while (waiting or running or pulsing) and time.monotonic() < deadline:
            while waiting and len(running) < AT_ONCE:
                attempt = waiting.pop(0)
                running[attempt.id] = attempt
                self.send(attempt, where)
            self.client.pump(0.05)
            if time.monotonic() > noted_at + 0.5:
                noted_at = time.monotonic()
                self._note_containers()
            for name in [name for name in running if name in self.client.published]:
                self.results[name] = self.client.published[name][0]
                del running[name]
                pulsing[name] = time.monotonic()
                self.client.send(f"after-{name}", "neighbour", envVars={"MARK": self.mark})
            for name in [name for name in pulsing if f"after-{name}" in self.client.published]:
                self.pulses[name] = self.client.published[f"after-{name}"][0]
                self.pulse_seconds[name] = time.monotonic() - pulsing.pop(name)
        late = [*(attempt.id for attempt in waiting), *running, *pulsing]
        assert [] == late, "no result within the time"

    def send(self, attempt: Attempt, where: dict[str, Any]) -> None:
        """One message. Violent attempts are functions of their own, calm ones share one."""
        function = "calm" if attempt.calm else attempt.id
        fields = {"memoryMb": 192, "timeoutMs": 20_000, **attempt.message}
        fields["envVars"] = {"MARK": self.mark, **fields.get("envVars", {})}
        self.client.send(
            attempt.id,
            function,
            runtime=str(attempt.runtime),
            s3Key=f"attempts/{attempt.runtime}.zip",
            input={**where, "attempt": attempt.name.split("-")[0]},
            **fields,
        )

    def pulse(self, name: str) -> Any:
        """Call the neighbour; what it answers."""
        document = self.client.invoke(f"pulse-{name}", "neighbour", envVars={"MARK": self.mark})
        assert document["status"] == "SUCCESS", document
        return document["output"]

    def describe(self) -> dict[str, Any]:
        """What an attacker might know of the host, and more than he would."""
        state = Path(self.stack.settings.state_dir).resolve()
        codes = [
            path for path in (state / "code").rglob("main.py") if self.secret in path.read_text()
        ]
        local = self.stack.settings
        services = [("127.0.0.1", local.local_aws_port), ("127.0.0.1", local.local_redis_port)]
        services += self.listeners.places
        services += [(address, self.redis.port) for address in self.redis.addresses]
        return {
            "secret": self.secret,
            "secret_files": [str(path) for path in codes],
            "code_folders": [str(state / "code"), *(str(path.parent) for path in codes)],
            "state_folders": [str(state), str(state / "sandboxes"), str(state / "executors")],
            "host_file": str(self.host_file),
            "host_program": "/usr/bin/bwrap",
            "host_pids": [process.pid for _, process in self.stack.processes],
            "host_services": services,
            "host_sockets": [str(self.redis.path), str(local.redis_socket)],
            "neighbours": [self.first_pulse["address"]] if self.kind == "docker" else ["192.0.2.9"],
            "neighbour_names": [self.first_pulse["name"], *sorted(self.containers)[:3]],
            "neighbour_port": PORT,
            "other_id": "pulse-first",
            "pids_max": int(SETTINGS["PIDS_MAX"]),
            "tmp_mb": int(SETTINGS["TMP_MB"]),
        }

    # -- looking -----------------------------------------------------------------------------------

    @property
    def executor_pid(self) -> int:
        return self.stack.find("executor").pid

    def executor_memory_mb(self) -> float:
        """Resident memory of the executor now."""
        pages = int(Path(f"/proc/{self.executor_pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def executor_sockets(self) -> int:
        """Sockets that the executor holds besides two for each of its living sandboxes."""
        state = Path(self.stack.settings.state_dir).resolve() / "sandboxes"
        folder = Path(f"/proc/{self.executor_pid}/fd")
        held = 0
        for one in folder.iterdir():
            with suppress(FileNotFoundError):
                held += one.readlink().name.startswith("socket:")
        return held - 2 * len(list(state.iterdir()))

    def sandbox_ids(self) -> list[str]:
        """Every sandbox that was ever started."""
        connection: Any = redis.Redis.from_url(self.stack.settings.redis_address)
        with connection:
            entries = connection.xrange("{hearth:0}:executions")
        texts = [str(fields) for _, fields in entries]
        found = [text.split('"sandbox_id":"')[1].split('"')[0] for text in texts
                 if "SandboxStarted" in text]  # fmt: skip
        return sorted(set(found))

    def _note_containers(self) -> None:
        if self._docker is not None:
            label = f"hearth.owner={owner_label(self.stack)}"
            found = self._docker.api.containers(all=True, quiet=True, filters={"label": label})
            self.containers |= {one["Id"] for one in found}

    def living_containers(self) -> list[str]:
        """Containers of this stack that are still there."""
        self.containers.clear()
        self._note_containers()
        return sorted(self.containers)

    def left_processes(self) -> list[str]:
        """Processes of sandboxes that still live."""
        marks = [self.mark, *self.sandbox_ids(), *self.containers]
        return find_processes(*(mark.encode() for mark in marks))

    def close(self) -> None:
        self.listeners.close()
        self.redis.stop()
        if self._docker is not None:
            self._docker.close()
