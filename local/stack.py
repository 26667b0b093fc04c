"""The whole stack as child processes of one program: for the demo and the tests.

Not here: how people run it (`honcho start`, docker-compose); each process is the same `hearth run`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import make_client
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.settings import Settings, load, process_environment

PROCESSES = ("local", "ingest", "executor", "profiler", "tuner", "publisher", "metrics")
STAGES = ("ingest", "executor", "profiler", "tuner", "publisher")


def find_free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def local_environment(state_dir: Path) -> dict[str, str]:
    """Settings of a stack of its own: embedded Redis and AWS on free ports."""
    redis_port, aws_port, metrics_port, console_port = find_free_ports(4)
    return {
        "STATE_DIR": os.fspath(state_dir),
        "LOCAL_REDIS_PORT": str(redis_port),
        "LOCAL_AWS_PORT": str(aws_port),
        "METRICS_PORT": str(metrics_port),
        "CONSOLE_PORT": str(console_port),
    }


@dataclass
class Stack:
    """Processes of one stack, by name; a name may have several."""

    environment: Mapping[str, str]
    processes: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    log_path: Path | None = None

    @property
    def settings(self) -> Settings:
        """What its processes run with."""
        return load(self.environment)

    def start(self, *names: str) -> None:
        """Start one more process of each name; their output goes to `log_path`."""
        for name in names:
            self.start_program(name, "cli.main", "run", name)

    def start_program(self, name: str, *module: str) -> subprocess.Popen[bytes]:
        """Start a Python module, with arguments, as a process of that name."""
        inherited = {
            name: value
            for name, value in process_environment().items()
            if name.lower() not in Settings.__struct_fields__
        }
        output = None if self.log_path is None else self.log_path.open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**inherited, **self.environment},
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches the parent, which stops them in order
        )
        if output is not None:
            output.close()
        self.processes.append((name, process))
        return process

    def find(self, name: str) -> subprocess.Popen[bytes]:
        """The newest living process of a name."""
        return next(
            process
            for candidate, process in reversed(self.processes)
            if candidate == name and process.poll() is None
        )

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash."""
        process = self.find(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def terminate(self, names: Sequence[str], seconds: float = 40) -> None:
        """SIGTERM to all processes of the names, in that order, each waited for."""
        for name in names:
            living = [one for kind, one in self.processes if kind == name and one.poll() is None]
            for process in living:
                process.terminate()
            for process in living:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def wait_local(self, seconds: float = 30) -> None:
        """Until the Redis, the queue and the buckets of the embedded default are there."""
        settings = self.settings
        log = Log(settings.redis_address)
        sqs, s3 = make_client(settings, "sqs"), make_client(settings, "s3")
        deadline = time.monotonic() + seconds
        while True:
            try:
                log.ping()
                sqs.get_queue_attributes(QueueUrl=settings.queue_url)
                for bucket in (settings.code_bucket, settings.output_bucket):
                    s3.head_bucket(Bucket=bucket)
            except (LogUnavailableError, BotoCoreError, ClientError) as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the embedded default is not up: {error}") from error
                time.sleep(0.1)
            else:
                log.close()
                return

    def wait_healthy(self, seconds: float = 60) -> None:
        """Until no stage waits for anything; raises TimeoutError with what does not come up."""
        deadline = time.monotonic() + seconds
        problem = "nothing answered"
        while time.monotonic() < deadline:
            dead = [name for name, process in self.processes if process.poll() is not None]
            if dead:
                raise TimeoutError(f"{', '.join(dead)} ended while the stack was starting")
            try:
                url = f"http://127.0.0.1:{self.settings.metrics_port}"
                urlopen(f"{url}/healthz", timeout=5).close()  # noqa: S310 - own address
                with urlopen(f"{url}/metrics", timeout=5) as answer:  # noqa: S310 - own address
                    text = answer.read().decode()
                missing = [
                    name
                    for name in STAGES
                    if f'started_timestamp_seconds{{stage="{name}"' not in text
                ]
                if not missing:
                    return
                problem = f"not started: {', '.join(missing)}"
            except (URLError, ConnectionError, TimeoutError) as error:
                problem = str(error)
            time.sleep(0.1)
        raise TimeoutError(f"the stack is not up after {seconds} s: {problem}")

    def stop(self) -> None:
        """Stop everything: who brings work in first, what all stand on last."""
        others = dict.fromkeys(name for name, _ in self.processes if name not in PROCESSES)
        self.terminate([*STAGES, *others, "metrics", "local"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
