"""A sandbox that isolates nothing: the real bootstrap as a plain child process.

For tests that want the protocol without namespaces or Docker; it passes the same contract tests,
less those about isolation. Never for anybody's functions.
"""

import subprocess
from pathlib import Path

from executor.attached import Attached
from executor.doorway import Connections, Doorway
from executor.exchange import Exchange
from executor.go_compiler import Compilation
from executor.process_end import describe_status
from executor.sandbox import (
    Exit,
    RuntimeMissingError,
    SandboxError,
    SandboxSpec,
)
from executor.sandbox_folder import LAUNCHER_NAME, SandboxFolder, State
from shared.events import Runtime

RUNTIMES = Path(__file__).parents[2] / "runtimes"
PROGRAMS = {
    Runtime.PYTHON: ("/usr/bin/python3", "-I", "-S", RUNTIMES / "python/bootstrap.py"),
    Runtime.NODEJS: ("/usr/bin/perl", RUNTIMES / "nodejs/launch.pl"),
}
LAUNCHER = ("/usr/bin/perl", LAUNCHER_NAME)


class ProcessSandbox(Attached):
    """See `executor.sandbox.Sandbox`."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: SandboxFolder,
        process: subprocess.Popen[bytes],
        connections: Connections,
    ) -> None:
        super().__init__(spec, folder, connections, Exchange(folder, str(folder.run)))
        self._process = process

    def describe_exit(self) -> Exit:
        """Never out of memory: it has no limit."""
        try:
            return Exit(out_of_memory=False, reason=describe_status(self._process.wait(timeout=1)))
        except subprocess.TimeoutExpired:
            return Exit(out_of_memory=False, reason="it hung up but did not end")

    def destroy(self) -> None:
        """Kill the process and forget its folder."""
        self._process.kill()
        self._process.wait()
        self._detach()
        self.meter.close()
        self._folder.remove()


class ProcessFactory:
    """See `executor.sandbox.SandboxFactory`."""

    kind = "process"

    def __init__(self, state_dir: Path, worker_id: str = "") -> None:
        self._state = State(state_dir)
        self._worker_id = worker_id

    def start(self, spec: SandboxSpec) -> ProcessSandbox:
        """Start the bootstrap."""
        folder = self._state.create_folder(self.kind, self._worker_id)
        if spec.own_bootstrap:
            folder.lay_launcher()
        doorway = Doorway(folder.run)
        process = subprocess.Popen(
            [
                *(LAUNCHER if spec.own_bootstrap else PROGRAMS[spec.runtime]),
                # A socket address has 107 bytes at most, a test's folder may have more.
                "socket",
                folder.choose_task(spec.code_dir),
            ],
            cwd=folder.run,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": "/tmp",
                "LANG": "C.UTF-8",
                "INPUT_FILE": str(folder.run / "input"),
                "OUTPUT_DIR": str(folder.output),
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.limits.memory_mb),
            },
        )
        try:
            connections = doorway.accept_both(10, lambda: _find_death(process))
        except SandboxError:
            process.kill()
            process.wait()
            folder.remove()
            raise
        return ProcessSandbox(spec, folder, process, connections)

    def compile_go(self, sources: Path, program: Path) -> Compilation:
        """Not of the fake: a compiler is a program of the host that wants walls."""
        raise RuntimeMissingError(f"nothing compiles {sources} to {program}")

    def reap(self) -> int:
        """Remove the folders of dead owners; their processes end with their sockets."""
        leftovers = list(self._state.leftovers(self.kind))
        for folder in leftovers:
            folder.remove()
        return len(leftovers)

    def close(self) -> None:
        """Let go of the state folder."""
        self._state.close()


def _find_death(process: subprocess.Popen[bytes]) -> str | None:
    return None if process.poll() is None else describe_status(process.returncode)
