"""Sandboxes made by the Docker Engine: what production uses. The only module that knows `docker`.

Not here: what a container is (`docker_container`), and invocations: the API builds and destroys
sandboxes, the socket carries the work.
"""

import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from executor.attached import Attached
from executor.docker_container import Surroundings, describe_compiler, describe_container
from executor.doorway import Connections, Doorway
from executor.firewall import close_host
from executor.go_compiler import SECONDS_MAX, WORDS_BYTES_MAX, Compilation
from executor.libseccomp import SeccompMissingError, list_system_calls
from executor.process_end import describe_status, is_killed
from executor.readings import Meter
from executor.sandbox import (
    Exit,
    RuntimeMissingError,
    SandboxError,
    SandboxSpec,
)
from executor.sandbox_folder import SandboxFolder, State
from executor.system_calls import format_docker_profile
from shared.events import Network, Runtime
from shared.logging import log_event
from shared.metrics import SANDBOX_API_CALLS

if TYPE_CHECKING:
    from docker.api.client import APIClient

LOG = logging.getLogger(__name__)
NETWORK = "hearth"
COMPILER = "go-compiler"
BRIDGE = "hearth0"
_OPTIONS = {
    "com.docker.network.bridge.name": BRIDGE,
    "com.docker.network.bridge.enable_icc": "false",  # sandboxes do not see one another
}
_START_SECONDS = 30.0
_API_SECONDS = 60
_END_SECONDS = 1.0

T = TypeVar("T")


def find_cause(error: BaseException) -> str:
    """The system's own words under the layers of clients: "Connection refused"."""
    layers = [error]
    while (inner := layers[-1].__cause__ or layers[-1].__context__) is not None:
        layers.append(inner)
    words = [layer.strerror for layer in layers if isinstance(layer, OSError) and layer.strerror]
    return words[-1] if words else str(error)


class Engine:
    """The Docker API: every call is counted, every failure is a SandboxError."""

    def __init__(self) -> None:
        """Connect. Raises SandboxError where no engine answers."""
        self.left: deque[SandboxFolder] = deque()  # of sandboxes that could not be removed
        self.api: APIClient = self.call(
            lambda: docker.from_env(version="auto", timeout=_API_SECONDS, max_pool_size=16).api
        )

    def call(self, request: Callable[[], T]) -> T:
        """One call to the API."""
        SANDBOX_API_CALLS.inc()
        try:
            return request()
        except ImageNotFound as error:
            message = f"{error.explanation}. Run: make images"
            raise RuntimeMissingError(message) from error
        except APIError as error:
            message = f"the Docker Engine refused: {error.explanation or error}"
            raise SandboxError(message) from error
        except (DockerException, RequestException, OSError) as error:
            message = (
                f"the Docker Engine does not answer ({find_cause(error)}). "
                "Start it, or set SANDBOX=bubblewrap for the embedded default"
            )
            raise SandboxError(message) from error

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container; empty when it is gone."""
        try:
            found: dict[str, Any] = self.call(lambda: self.api.inspect_container(container))
        except SandboxError as error:
            if isinstance(error.__cause__, NotFound):
                return {}
            raise
        return found

    def remove(self, container: str) -> None:
        """Kill and remove a container; it may be gone already."""
        try:
            self.call(lambda: self.api.remove_container(container, force=True, v=True))
        except SandboxError as error:
            cause = error.__cause__
            # 409: another executor's reaper is removing it right now.
            if not (isinstance(cause, APIError) and cause.status_code in (404, 409)):
                raise


class DockerSandbox(Attached):
    """See `sandbox.Sandbox`."""

    def __init__(
        self, spec: SandboxSpec, folder: SandboxFolder, engine: Engine, connections: Connections
    ) -> None:
        super().__init__(spec, folder, connections)
        self._engine = engine

    def describe_exit(self) -> Exit:
        """See `sandbox.Sandbox`."""
        # Asked first: with its last process the cgroup goes, and the count with it.
        oom_kills = self.meter.oom_kills()
        name = container_name(self.id)
        with suppress(SandboxError):
            self._engine.call(lambda: self._engine.api.wait(name, timeout=_END_SECONDS))
        try:
            state = self._engine.inspect(name).get("State", {})
        except SandboxError as error:
            return Exit(out_of_memory=bool(oom_kills), reason=str(error))
        if not state:
            return Exit(out_of_memory=bool(oom_kills), reason="its container is gone")
        if state["Running"]:
            return Exit(out_of_memory=False, reason="it hung up but did not end")
        status = int(state["ExitCode"])
        out_of_memory = is_killed(status) and bool(oom_kills or state["OOMKilled"])
        return Exit(out_of_memory, describe_status(status))

    def destroy(self) -> None:
        """See `sandbox.Sandbox`."""
        self.meter.retire()
        self._detach()
        try:
            self._engine.remove(container_name(self.id))
        except SandboxError as error:
            # Its labels and folder stay, so that even the next executor's `reap` would find both.
            log_event(LOG, "sandbox.left", level=logging.WARNING, sandbox=self.id, reason=error)
            self._engine.left.append(self._folder)
        else:
            self._folder.remove()
        self.meter.close()


class DockerFactory:
    """See `sandbox.SandboxFactory`."""

    kind = "docker"

    def __init__(
        self, state_dir: Path, worker_id: str = "", images: Mapping[str, str] | None = None
    ) -> None:
        """Raises SandboxError where no engine answers."""
        self.engine = Engine()
        self._worker_id = worker_id
        self._state = State(state_dir)
        self._images = images or {}
        self._seccomp = _make_profile()
        self._has_network = False

    def start(self, spec: SandboxSpec) -> DockerSandbox:
        """See `sandbox.SandboxFactory`."""
        with ExitStack() as undo:
            folder = self._create_folder()
            undo.callback(folder.remove)
            name = container_name(folder.id)
            undo.callback(self._remove_if_possible, name)
            try:
                if spec.own_bootstrap:
                    folder.lay_launcher()
                doorway = Doorway(folder.run)
                undo.callback(doorway.close)
                self._create(spec, folder)
                self.engine.call(lambda: self.engine.api.start(name))
                connections = doorway.accept_both(_START_SECONDS, lambda: self._find_death(name))
            except RuntimeMissingError:
                raise
            except (OSError, SandboxError) as error:
                message = f"Docker sandbox did not start: {error}"
                raise SandboxError(message) from error
            undo.pop_all()
        self._remove_left()
        return DockerSandbox(spec, folder, self.engine, connections)

    def compile_go(self, sources: Path, program: Path) -> Compilation:
        """See `sandbox.SandboxFactory`."""
        folder = self._create_folder()
        name = container_name(folder.id)
        out = folder.output
        container = describe_compiler(
            Surroundings(
                image=self._images.get(COMPILER, f"hearth-runtime-{COMPILER}"),
                network="none",
                task=sources.resolve(),
                run=folder.run,
                output=out,
                seccomp=self._seccomp,
                labels=self._label(""),
            )
        )
        try:
            self.engine.call(lambda: self.engine.api.create_container_from_config(container, name))
            self.engine.call(lambda: self.engine.api.start(name))
            seconds = SECONDS_MAX + _API_SECONDS
            ended = self.engine.call(lambda: self.engine.api.wait(name, timeout=seconds))
            shutil.copyfile(out / "program", program)
            with (out / "words").open("rb") as words:
                return Compilation(int(ended["StatusCode"]), words.read(WORDS_BYTES_MAX))
        except OSError as error:
            raise SandboxError(f"the Go compiler's container: {error}") from error
        finally:
            self._remove_if_possible(name)
            folder.remove()

    def _create_folder(self) -> SandboxFolder:
        try:
            return self._state.create_folder(self.kind, self._worker_id)
        except OSError as error:  # the disk is full
            raise SandboxError(f"no folder for a sandbox: {error}") from error

    def reap(self) -> int:
        """See `sandbox.SandboxFactory`."""
        label = f"hearth.owner={self._state.owner_label}"
        found = self.engine.call(
            lambda: self.engine.api.containers(all=True, filters={"label": label})
        )
        dead = [
            container["Id"]
            for container in found
            if not self._state.is_alive(container["Labels"].get("hearth.executor", ""))
        ]
        leftovers = list(self._state.leftovers(self.kind))
        for container in dead:
            self._thaw(container)
            self.engine.remove(container)
        for folder in leftovers:
            folder.remove()
        return max(len(dead), len(leftovers))

    def close(self) -> None:
        """Let go of the state folder and the connection; destroy the sandboxes before."""
        self.engine.api.close()
        self._state.close()

    def image_of(self, runtime: Runtime) -> str:
        """The name of the image of a runtime."""
        return self._images.get(runtime, f"hearth-runtime-{runtime}")

    def need_image(self, runtime: Runtime) -> None:
        """Raises SandboxError where the image of a runtime is not there."""
        name = self.image_of(runtime)
        if not self.engine.call(lambda: self.engine.api.images(name, quiet=True)):
            message = f"the image {name} is missing. Run: make images"
            raise SandboxError(message)

    def _create(self, spec: SandboxSpec, folder: SandboxFolder) -> None:
        around = Surroundings(
            image=self.image_of(spec.runtime),
            network=self._network() if spec.network is Network.EGRESS else "none",
            task=folder.choose_task(spec.code_dir),
            run=folder.run,
            output=folder.output,
            seccomp=self._seccomp,
            labels=self._label(spec.function_id),
        )
        container = describe_container(spec, around)
        name = container_name(folder.id)
        self.engine.call(lambda: self.engine.api.create_container_from_config(container, name))

    def _remove_left(self) -> None:
        """The engine answers again: remove what it did not remove when it was asked."""
        with suppress(IndexError):  # another thread took the last one
            while self.engine.left:
                folder = self.engine.left.popleft()
                try:
                    self.engine.remove(container_name(folder.id))
                except SandboxError:
                    self.engine.left.append(folder)
                    return
                folder.remove()

    def _remove_if_possible(self, name: str) -> None:
        with suppress(SandboxError):
            self.engine.remove(name)

    def _label(self, function_id: str) -> dict[str, str]:
        return {
            "hearth.owner": self._state.owner_label,
            "hearth.executor": self._state.executor,
            "hearth.executor_pid": str(os.getpid()),
            "hearth.worker": self._worker_id,
            "hearth.function": function_id,
        }

    def _find_death(self, name: str) -> str | None:
        state = self.engine.inspect(name).get("State", {})
        if state.get("Running"):
            return None
        status = describe_status(int(state.get("ExitCode", 0)))
        return f"{status} {state.get('Error', '')}".strip()

    def _network(self) -> str:
        """The name of the network that leads out, made where it is not there yet."""
        if not self._has_network:
            api = self.engine.api
            found = self.engine.call(lambda: api.networks(names=[f"^{NETWORK}$"]))
            if not found:
                self._create_network()
            elif not _OPTIONS.items() <= found[0]["Options"].items():
                message = (
                    f"the network {NETWORK} is there but not as Hearth makes it: sandboxes could "
                    f"see one another. Run: docker network rm {NETWORK}"
                )
                raise SandboxError(message)
            close_host(BRIDGE)
            self._has_network = True
        return NETWORK

    def _create_network(self) -> None:
        with suppress(SandboxError):  # made by another executor a moment ago; else start tells
            self.engine.call(
                lambda: self.engine.api.create_network(
                    NETWORK, driver="bridge", options=_OPTIONS, check_duplicate=True
                )
            )

    def _thaw(self, container: str) -> None:
        pid = self.engine.inspect(container).get("State", {}).get("Pid", 0)
        if pid:
            meter = Meter(pid)
            meter.thaw()
            meter.close()


def _make_profile() -> str | None:
    """Hearth's own profile: that of engines before 25 lets io_uring and AF_VSOCK through."""
    try:
        return format_docker_profile(list_system_calls())
    except SeccompMissingError as error:
        log_event(LOG, "sandbox.engines_own_seccomp", level=logging.WARNING, reason=error)
        return None


def container_name(sandbox_id: str) -> str:
    """The name of a sandbox's container."""
    return f"hearth-{sandbox_id}"
