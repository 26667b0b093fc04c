"""What a sandbox is: the protocol that every kind of sandbox keeps.

Not here: the kinds (`docker_sandbox`, `bubblewrap_sandbox`), the pool, what is sent to it.

A sandbox is one isolated place in which one function's invocations run, one at a time. The
runtime's bootstrap stays resident in it and talks over two Unix sockets in a folder that only this
sandbox can see: `control` carries frames (`executor/frames.py`), `logs` carries what the function
writes to stdout and stderr, bytes as they come. Files pass by the `exchange`.

A function that brings its own bootstrap speaks Lambda's Runtime API instead: `listener` is
a TCP socket that listens inside the sandbox's network, and `control` only carries the launcher's
INIT and ends when the launcher becomes that bootstrap.
"""

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from executor.exchange import Exchange
from executor.go_compiler import Compilation
from executor.readings import Meter
from shared.events import Limits, Network, Runtime


class SandboxError(Exception):
    """The sandbox could not be started: the platform's failure, not the function's."""


class RuntimeMissingError(SandboxError):
    """This host has no such runtime, and waiting does not change that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What makes one sandbox different from another; sandboxes of equal specs can stand in.

    Without `function_id` and `code_dir` it is generic: `Sandbox.furnish` brings both later.
    """

    runtime: Runtime
    limits: Limits
    network: Network
    function_id: str = ""
    handler: str = ""
    code_dir: Path | None = None  # unpacked archive, read-only as /var/task; any user may read it
    code_sha256: str = ""
    env_vars: dict[str, str] = field(default_factory=dict)
    own_bootstrap: bool = False  # runs `bootstrap` of the archive, which speaks the Runtime API
    tmp_mb: int = 512
    pids_max: int = 256


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox's process ended, in words for the sender."""

    out_of_memory: bool
    reason: str  # "exit status 3", "signal: killed"


class Sandbox(Protocol):
    """A running sandbox. Everything that comes out of it is untrusted."""

    id: str
    spec: SandboxSpec
    control: socket.socket  # non-blocking; where there is no listener, its end is the bootstrap's
    logs: socket.socket  # non-blocking
    listener: socket.socket | None  # non-blocking; of the Runtime API
    pid: int  # of the bootstrap, here
    meter: Meter
    exchange: Exchange

    def furnish(self, spec: SandboxSpec) -> None:
        """Make a generic sandbox that of a function; once, before its first frame. Blocks.

        Afterwards /var/task shows the code, the memory limit is that of `spec`, and so is `spec`.
        Raises SandboxError where that cannot be done; it is good for nothing then but `destroy`.
        """
        ...

    def describe_exit(self) -> Exit:
        """Why the bootstrap is gone. May block for a second; call it once `control` has ended."""
        ...

    def destroy(self) -> None:
        """Kill everything in it and remove what belongs to it. Blocks; may be called again.

        Afterwards no process, mount, container, cgroup or file of it is left, its sockets, meter
        and exchange are closed, and only `id` and `spec` may be used. Raises nothing: what cannot
        be removed now (the engine does not answer) is logged and left to the next executor's
        `reap`.
        """
        ...


class SandboxFactory(Protocol):
    """Starts sandboxes of one kind. Safe to call from several threads."""

    kind: str  # docker | bubblewrap

    def start(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox whose bootstrap has connected and loaded nothing of the function yet.

        Its hello has been read: `control` is silent until a frame is sent.

        Blocks. Memory and process limits hold from the first instruction; the CPU quota does not
        yet: start and init run at full speed, `meter.limit_cpu` is called after init.
        Raises SandboxError, or RuntimeMissingError; then nothing is left behind.
        """
        ...

    def compile_go(self, sources: Path, program: Path) -> Compilation:
        """Compile the Go sources in a folder to the file `program`, in a sandbox of its own.

        Blocks, for minutes perhaps. Leaves nothing but `program`, which may be empty.
        Raises SandboxError, or RuntimeMissingError where this host has no compiler.
        """
        ...

    def reap(self) -> int:
        """Remove what a killed executor of this host and state folder left; returns how many.

        Sandboxes of living executors and of other owners are not touched.
        """
        ...

    def close(self) -> None:
        """Let go of the state folder, once every sandbox is destroyed."""
        ...
