"""The embedded Redis: how it is started and asked whether it answers.

It listens on a Unix socket in the state folder and on a port. Its append-only file is written
before an answer is given, so a killed Redis loses nothing, and is synchronised with the disk every
second, so a power cut loses a second or two. Not here: any use of it; not even a client library,
which is at home in `shared/`.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from local.child import Child, LocalError
from shared.settings import Settings, process_environment

_ANSWER_SECONDS = 1.0
_PREDECESSOR_SECONDS = 10.0  # a predecessor that was killed leaves a Redis that is saving
_LEAVE_SECONDS = 3.0  # honcho kills five seconds after it asked


@contextmanager
def redis_server(settings: Settings) -> Iterator[Child]:
    """The server on `<state_dir>/redis`; ended afterwards. Raises LocalError: folder in use."""
    folder = Path(settings.state_dir) / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    with _owned(folder) as lock:
        server = Child(
            name="redis-server",
            command=["redis-server", *_options(settings, folder)],
            answers=lambda: is_redis_up(settings),
            log=folder / "redis.log",
            environment=process_environment(),
            explain=lambda words: _explain(settings, words),
            # It inherits the lock: the folder is free when the last Redis on it is gone.
            keep_open=(lock,),
        )
        try:
            yield server
        finally:
            server.stop()


def is_redis_up(settings: Settings) -> bool:
    """It answers, and no longer loads its log."""
    return _ask(settings, "PING").startswith("+PONG")


def synchronise(settings: Settings) -> None:
    """Bring what Redis wrote so far to the disk; blocks for tens of milliseconds, Redis goes on."""
    folder = Path(settings.state_dir) / "redis" / "appendonlydir"
    for path in folder.glob("*.incr.aof"):
        with suppress(FileNotFoundError), path.open("rb") as log:  # a rewrite removes old ones
            os.fdatasync(log)


def wait_until_clients_left(settings: Settings) -> None:
    """Give the stages, which were told to stop at the same moment, the time to hand back."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    # One client is the question itself.
    while time.monotonic() < deadline and "connected_clients:1\r" not in _clients(settings):
        time.sleep(0.05)


def _ask(settings: Settings, command: str) -> str:
    """The start of the server's answer to an inline command; empty when there is none."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(str(settings.redis_socket))
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(65_536).decode(errors="replace")
    return ""


def _clients(settings: Settings) -> str:
    return _ask(settings, "INFO clients") or "connected_clients:1\r"  # gone already


def _options(settings: Settings, folder: Path) -> list[str]:
    options = {
        "bind": settings.local_bind,
        "port": str(settings.local_redis_port),
        "dir": str(folder.absolute()),
        "unixsocket": "../redis.sock",  # from `dir`: an absolute one may be too long to bind
        "unixsocketperm": "600",
        # No password: loopback, or the network of the containers, which nobody else is in.
        "protected-mode": "no",
        "appendonly": "yes",
        # Not everysec: while it synchronises, Redis answers before it writes, and a SIGKILL then
        # loses what was answered (measured: in 5 kills of 30 under load). See `synchronise`.
        "appendfsync": "no",
        "save": "",
        # What is full refuses to grow, and forgets nothing.
        "maxmemory": f"{settings.redis_memory_max_mb}mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@contextmanager
def _owned(folder: Path) -> Iterator[int]:
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    with (folder / "lock").open("w") as lock:
        while not _is_locked_now(lock):
            if time.monotonic() > deadline:
                message = (
                    f"Another Hearth runs on {folder.parent}: stop it, or give this one its own "
                    "STATE_DIR, LOCAL_REDIS_PORT and LOCAL_AWS_PORT."
                )
                raise LocalError(message)
            time.sleep(0.05)
        yield lock.fileno()


def _is_locked_now(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _explain(settings: Settings, words: str) -> str:
    if "redis-server: not installed" in words:
        return "redis-server is not installed: run `make setup`, or name a Redis in REDIS_URL."
    if "Address already in use" in words:
        return (
            f"Port {settings.local_redis_port} is taken: set LOCAL_REDIS_PORT to a free one, "
            "or name the Redis that should be used in REDIS_URL."
        )
    return f"redis-server ended: {words}"
