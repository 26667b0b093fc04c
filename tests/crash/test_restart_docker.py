"""The Docker daemon goes away under load and comes back: one result each, and the executor goes on.

With an engine of the test's own, since the one of this machine has other users.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.sandboxes import need_kind
from tests.fixtures_stack import MakeStack
from tests.requirements import need

IMAGE = "hearth-runtime-python"
COUNT = 120
SOURCE = "import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return event\n"


class OwnEngine:
    """A second dockerd, with an image of the first one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "dockerd.log").open("ab")
        self._process = subprocess.Popen(
            [
                # A network namespace of its own: two engines would fight for the bridges.
                *("unshare", "--net", "dockerd"),
                *("--host", self.address, "--pidfile", f"{self.folder}/docker.pid"),
                *("--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + 60
        while True:
            if self.ask("version").returncode == 0:
                return
            words = (self.folder / "dockerd.log").read_text()[-2_000:]
            assert self._process.poll() is None, words
            assert time.monotonic() < deadline, "the second engine did not start"
            time.sleep(0.1)

    def ask(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command of the engine's client."""
        command = ["docker", "--host", self.address, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def stop(self, *, kill: bool) -> None:
        """End it as an upgrade would, or as a crash."""
        assert self._process is not None
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(60)

    def clean(self) -> None:
        """The engine mounts its folder on itself, and leaves that."""
        subprocess.run(["umount", self.folder / "data"], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    need_kind("docker")
    need(shutil.which("dockerd") is not None, "dockerd is missing: make setup")
    with tempfile.TemporaryDirectory(prefix="hearth-engine-") as folder:  # its sockets' are short
        yield from run_engine(OwnEngine(Path(folder)))


def run_engine(own: OwnEngine) -> Iterator[OwnEngine]:
    """The engine with the image in it, until the test has ended."""
    own.start()
    with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saved:
        load = ["docker", "--host", own.address, "load", "--quiet"]
        subprocess.run(load, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
    yield own
    own.stop(kill=False)
    own.clean()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kill", [False, True], ids=["restarted", "killed"])
def test_the_engine_restarts_under_load(
    make_stack: MakeStack, engine: OwnEngine, *, kill: bool
) -> None:
    """Every invocation has one result; what is sent afterwards succeeds, and nothing is left."""
    stack, client = make_stack(
        sandbox="docker", DOCKER_HOST=engine.address, SANDBOXES_MAX="4", GENERIC_SANDBOXES_MAX="2"
    )
    for name in ("f", "g", "h"):
        client.deploy(name, {"main.py": SOURCE})
        client.invoke(f"warm-{name}", name, input=0, network="none")
    names = [f"req-{number}" for number in range(COUNT)]
    for number, name in enumerate(names):
        client.send(name, "fgh"[number % 3], input=number, network="none")
        time.sleep(0.02)
        if number == COUNT // 3:
            engine.stop(kill=kill)
        if number == 2 * COUNT // 3:
            time.sleep(1)
            engine.start()
    documents = client.wait_kept(names, seconds=120)

    assert names == [one["requestId"] for one in documents]
    # Those that ran when their container was killed are told so; nobody else is harmed.
    statuses = [one["status"] for one in documents]
    assert {"SUCCESS", "CRASHED"} >= set(statuses)
    assert statuses.count("CRASHED") <= 4
    client.wait_settled(seconds=60)

    client.deploy("new", {"main.py": SOURCE})
    assert "SUCCESS" == client.invoke("after-1", "new", input=1, network="none")["status"]
    stack.terminate(["executor"])  # a new one finds nothing to reap
    assert "" == engine.ask("ps", "--all", "--quiet").stdout
