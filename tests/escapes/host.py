"""The host as attempts would change it: who called it, what must be the same afterwards."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import docker

from executor.docker_sandbox import NETWORK

_SETTINGS = (
    "kernel/core_pattern", "kernel/hostname", "kernel/domainname", "kernel/modprobe",
    "kernel/panic", "kernel/randomize_va_space", "kernel/sysrq", "vm/overcommit_memory",
    "fs/protected_symlinks", "net/ipv4/ip_forward", "user/max_user_namespaces",
)  # fmt: skip
_TABLES = ("sysvipc/shm", "sysvipc/sem", "sysvipc/msg", "swaps", "partitions", "modules")
_FOLDERS = ("/dev", "/dev/mqueue", "/etc")


def list_addresses() -> list[str]:
    """IPv4 addresses of this host that others could call."""
    found = subprocess.run(["ip", "-json", "-4", "address"], check=True, capture_output=True)
    return [
        address["local"]
        for link in json.loads(found.stdout)
        for address in link["addr_info"]
        if link["ifname"] != "lo"
    ]


def find_gateway() -> str | None:
    """The host's address on the sandboxes' network; None where there is none."""
    if shutil.which("docker") is None:
        return None
    client = docker.from_env()
    try:
        for network in client.networks.list(names=[f"^{NETWORK}$"]):
            return str(network.attrs["IPAM"]["Config"][0]["Gateway"])
    except docker.errors.DockerException:
        return None
    finally:
        client.close()
    return None


class Listeners:
    """Listen on every address of the host, TCP and UDP, and note who called."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self.places: list[tuple[str, int]] = []
        self.callers: list[str] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        for address in addresses:
            stream = socket.create_server((address, 0))
            port = int(stream.getsockname()[1])
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((address, port))
            self.places.append((address, port))
            for one in (stream, datagrams):
                one.settimeout(0.2)
                self._sockets.append(one)
        self._stopping = threading.Event()
        for one in self._sockets:
            thread = threading.Thread(target=self._listen, args=(one,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _listen(self, one: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                if one.type == socket.SOCK_DGRAM:
                    _, caller = one.recvfrom(64)
                else:
                    connection, caller = one.accept()
                    connection.sendall(b"reached")
                    connection.close()
            except TimeoutError:
                continue
            except OSError:
                continue
            self.callers.append(str(caller[0]))

    def close(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


def take_snapshot() -> dict[str, str]:
    """What no function may change, and nobody else changes meanwhile."""
    proc = Path("/proc")
    paths = [*(proc / "sys" / name for name in _SETTINGS), *(proc / name for name in _TABLES)]
    texts = {str(path): path.read_text() for path in paths if path.exists()}
    for name in filter(os.path.isdir, _FOLDERS):
        texts[name] = " ".join(sorted(path.name for path in Path(name).iterdir()))
    return texts


def read_clock() -> float:
    """Seconds between the clock that can be set and the one that cannot."""
    return time.time() - time.monotonic()


def find_processes(*marks: bytes) -> list[str]:
    """Processes whose environment, command or cgroup bears one of the marks."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            texts = [(process / name).read_bytes() for name in ("environ", "cmdline", "cgroup")]
        except OSError:
            continue
        if any(mark in text for mark in marks for text in texts):
            found.append(f"{process.name}: {texts[1]!r}")
    return found


def find_cgroups(*marks: str) -> list[str]:
    """Cgroups whose name bears one of the marks."""
    return [
        f"{folder}/{name}"
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if any(mark in name for mark in marks)
    ]


def find_lines(table: str, *marks: str) -> list[str]:
    """Lines of a file in /proc that bear one of the marks."""
    lines = Path("/proc", table).read_text().splitlines()
    return [line for line in lines if any(mark in line for mark in marks)]
