"""Every kind of sandbox for the contract tests, and a plain way to talk to one."""

import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import docker

from executor.bubblewrap_host import check_bubblewrap
from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.docker_sandbox import DockerFactory
from executor.frames import CALL, INIT, Decoder, Frame, encode
from executor.sandbox import Sandbox, SandboxError, SandboxFactory, SandboxSpec
from shared.events import Limits, Network, Runtime
from tests.fakes.process_sandbox import ProcessFactory
from tests.requirements import need

RUNTIMES = Path(__file__).parents[2] / "runtimes"
KINDS = ("process", "bubblewrap", "docker")
REAL_KINDS = ("bubblewrap", "docker")
HANDLERS = {Runtime.PYTHON: "main.handler", Runtime.NODEJS: "index.handler"}


class ClosableFactory(SandboxFactory, Protocol):
    """What all three factories are."""

    def close(self) -> None: ...


def need_kind(kind: str, runtime: Runtime = Runtime.PYTHON) -> None:
    """Skip, or fail in CI, where this machine cannot make such sandboxes."""
    if kind != "docker" and runtime is Runtime.NODEJS:
        need_node()
    try:
        if kind == "bubblewrap":
            check_bubblewrap()
        elif kind == "docker":
            _build_image(runtime)
    except SandboxError as error:
        need(False, str(error))


def need_node() -> None:
    """Skip, or fail in CI, where this machine has no Node.js."""
    need(shutil.which("node") is not None, "Node.js is missing. Run: apt-get install nodejs")


def make_factory(kind: str, state_dir: Path) -> ClosableFactory:
    """A factory of that kind."""
    if kind == "docker":
        return DockerFactory(state_dir, "test", dict(_built))
    if kind == "bubblewrap":
        return BubblewrapFactory(state_dir, "test")
    return ProcessFactory(state_dir, "test")


def make_code(folder: Path, **modules: str) -> Path:
    """An unpacked archive, readable by the sandbox's user as the code store makes it."""
    return make_files(folder, {f"{name}.py": source for name, source in modules.items()})


def make_files(folder: Path, files: Mapping[str, str]) -> Path:
    """The same of any files, in folders of it too."""
    folder.mkdir(mode=0o755)
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(source)
        path.chmod(0o644)
    return folder


def make_spec(
    code_dir: Path,
    *,
    memory_mb: int = 256,
    network: Network = Network.NONE,
    runtime: Runtime = Runtime.PYTHON,
) -> SandboxSpec:
    """A function whose code lies in `code_dir`."""
    return SandboxSpec(
        function_id="f",
        runtime=runtime,
        handler=HANDLERS[runtime],
        code_dir=code_dir,
        code_sha256="0" * 64,
        limits=Limits(memory_mb=memory_mb, timeout_ms=5_000),
        network=network,
    )


class Dialogue:
    """One sandbox, asked and answered in turn."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._decoder = Decoder()

    def init(self, handler: str = "", **head: object) -> dict[str, object]:
        """Load the function; the head of the answer."""
        name = handler or self.sandbox.spec.handler
        given = {"handler": name, "function_id": "f", "memory_mb": 256, "sandbox_id": "s"}
        self._send(encode(INIT, {**given, **head}))
        frame = self.receive()
        assert frame is not None, self.logs()
        return frame.head

    def call(self, event: bytes = b"null", **head: object) -> Frame | None:
        """Run the handler; None if the sandbox hung up."""
        self.send_call(event, **head)
        return self.receive()

    def send_call(self, event: bytes = b"null", **head: object) -> None:
        """The first half of a call."""
        deadline_ms = int(time.time() * 1000) + 5_000
        self._send(encode(CALL, {"id": "r", "deadline_ms": deadline_ms, **head}, event))

    def output(self, event: bytes = b"null", **head: object) -> bytes:
        """Run the handler, which succeeds."""
        frame = self.call(event, **head)
        assert frame is not None, self.sandbox.describe_exit()
        assert "failure" not in frame.head, frame.head
        return frame.body

    def failure(self, event: bytes = b"null") -> dict[str, object]:
        """Run the handler, which fails."""
        frame = self.call(event)
        assert frame is not None, self.sandbox.describe_exit()
        failure = frame.head["failure"]
        assert isinstance(failure, dict)
        return failure

    def logs(self) -> str:
        """What was written since the last time."""
        written = b""
        try:
            while some := self.sandbox.logs.recv(65_536):
                written += some
        except BlockingIOError:
            pass
        return written.decode()

    def pid(self) -> int:
        """The bootstrap's process id on this host."""
        option = socket.SOL_SOCKET, socket.SO_PEERCRED
        packed = self.sandbox.control.getsockopt(*option, 12)
        return int.from_bytes(packed[:4], "little")

    def receive(self, seconds: float = 10) -> Frame | None:
        """The next frame; None if the sandbox hung up."""
        control = self.sandbox.control
        control.settimeout(seconds)
        while received := control.recv(1 << 20):
            if frames := self._decoder.feed(received):
                assert len(frames) == 1
                return frames[0]
        return None

    def _send(self, frame: bytes) -> None:
        self.sandbox.control.settimeout(10)
        self.sandbox.control.sendall(frame)


@contextmanager
def started(factory: SandboxFactory, spec: SandboxSpec) -> Iterator[Dialogue]:
    """A sandbox for a while."""
    sandbox = factory.start(spec)
    try:
        yield Dialogue(sandbox)
    finally:
        sandbox.destroy()


def leftovers_of_state(state_dir: Path) -> list[str]:
    """Sandbox folders in a state folder."""
    return sorted(folder.name for folder in (state_dir / "sandboxes").iterdir())


_built: dict[Runtime, str] = {}


def _build_image(runtime: Runtime) -> None:
    """The image of the bootstrap as it is now; quick when nothing of it changed.

    Under a name of its content, so that tests of two versions can run on one engine.
    """
    if runtime in _built:
        return
    digest = sha256(b"".join(path.read_bytes() for path in sorted((RUNTIMES / runtime).iterdir())))
    name = f"hearth-test-{runtime}:{digest.hexdigest()[:12]}"
    client = docker.from_env()
    try:
        client.ping()
        client.images.build(path=str(RUNTIMES / runtime), tag=name, rm=True)
    except docker.errors.DockerException as error:
        message = f"no Docker image can be built: {error}"
        raise SandboxError(message) from error
    finally:
        client.close()
    _built[runtime] = name
