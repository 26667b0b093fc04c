"""Sandboxes made with bubblewrap: the embedded default where no Docker Engine answers.

Not here: the command line (`bubblewrap_command`), the cgroup (`own_cgroup`).

What it does not isolate, compared with Docker: the host's /usr can be read; and functions have no
network at all, not even egress.
"""

import logging
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from executor.attached import Attached
from executor.bubblewrap_command import (
    Places,
    Walls,
    build_command,
    format_stage_table,
)
from executor.bubblewrap_compiler import compile_in_bubblewrap
from executor.bubblewrap_host import (
    PATH,
    check_bubblewrap,
    find_processes_max,
    need_programs,
    probe_bubblewrap,
    write_etc,
)
from executor.doorway import Connections, Doorway
from executor.go_compiler import Compilation
from executor.libseccomp import SeccompMissingError, compile_filter
from executor.own_cgroup import (
    create_cgroup,
    files_to_join,
    kill_cgroup,
    plan_cgroup,
    remove_cgroup,
)
from executor.process_end import describe_status, is_killed
from executor.sandbox import Exit, SandboxError, SandboxSpec
from executor.sandbox_folder import LAUNCHER_NAME, SandboxFolder, State
from shared.events import Network, Runtime
from shared.logging import log_event
from shared.wire import wait_readable

LOG = logging.getLogger(__name__)
RUNTIMES = Path(__file__).parent.parent / "runtimes"
_START_SECONDS = 10.0
_END_SECONDS = 5.0
_PROGRAMS = {
    Runtime.PYTHON: ("python3", "-I", "-S", "/var/runtime/bootstrap.py"),
    Runtime.NODEJS: ("perl", "/var/runtime/launch.pl"),
}
_NEEDED = {Runtime.PYTHON: ("python3",), Runtime.NODEJS: ("node", "perl")}  # of the host
_LAUNCHER = ("perl", f"/run/hearth/{LAUNCHER_NAME}")  # of a function's own bootstrap


class BubblewrapSandbox(Attached):
    """See `sandbox.Sandbox`."""

    def __init__(
        self,
        spec: SandboxSpec,
        folder: SandboxFolder,
        process: subprocess.Popen[bytes],
        connections: Connections,
    ) -> None:
        super().__init__(spec, folder, connections)
        self._process = process
        self._bootstrap = _open_process(connections.pid)

    def describe_exit(self) -> Exit:
        """See `sandbox.Sandbox`."""
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return Exit(out_of_memory=False, reason="it hung up but did not end")
        out_of_memory = is_killed(status) and bool(self.meter.oom_kills())
        return Exit(out_of_memory, describe_status(status))

    def destroy(self) -> None:
        """See `sandbox.Sandbox`."""
        self.meter.retire()
        _end_process(self._process, self._bootstrap)
        self._bootstrap = -1
        self._detach()
        self.meter.close()
        _remove_leftovers(self._folder)


class BubblewrapFactory:
    """See `sandbox.SandboxFactory`."""

    kind = "bubblewrap"

    def __init__(self, state_dir: Path, worker_id: str = "") -> None:
        """Raises SandboxError where bubblewrap cannot work at all."""
        check_bubblewrap()
        self._worker_id = worker_id
        self._state = State(state_dir)
        self._etc = write_etc(state_dir.resolve() / "bubblewrap-etc")
        self._filter = _write_filter(self._etc / "system-calls")
        self._has_warned = False
        self._probe()
        # --die-with-parent means the parent's thread; this one lives as long as the executor.
        self._launcher = ThreadPoolExecutor(1, "sandbox-launcher")

    def start(self, spec: SandboxSpec) -> BubblewrapSandbox:
        """See `sandbox.SandboxFactory`."""
        need_programs(("perl",) if spec.own_bootstrap else _NEEDED[spec.runtime])
        with ExitStack() as undo:
            folder = self._create_folder()
            undo.callback(_remove_leftovers, folder)
            try:
                if spec.own_bootstrap:
                    folder.lay_launcher()
                doorway = Doorway(folder.run)
                undo.callback(doorway.close)
                process = self._launch(spec, folder)
                undo.callback(_end_process, process)
                connections = doorway.accept_both(_START_SECONDS, lambda: _find_death(process))
            except (OSError, SandboxError) as error:
                message = f"bubblewrap sandbox did not start: {error}"
                raise SandboxError(message) from error
            undo.pop_all()
        if process.stderr is not None:
            process.stderr.close()  # the function's stderr is the logs' connection by now
        return BubblewrapSandbox(spec, folder, process, connections)

    def compile_go(self, sources: Path, program: Path) -> Compilation:
        """See `sandbox.SandboxFactory`."""
        need_programs(("go",))
        folder = self._create_folder()
        folder.note_cgroups(tuple(map(str, plan_cgroup(f"hearth-{folder.id}"))))
        try:
            places = Places(
                task=sources.resolve(),
                runtime=self._etc,
                run=folder.run,
                etc=self._etc,
                output=folder.output,
            )
            stage_table = _write_stage_table(places, folder)
            return compile_in_bubblewrap(places, folder, self._filter, stage_table, program)
        finally:
            _remove_leftovers(folder)

    def _create_folder(self) -> SandboxFolder:
        try:
            return self._state.create_folder(self.kind, self._worker_id)
        except OSError as error:  # the disk is full
            raise SandboxError(f"no folder for a sandbox: {error}") from error

    def reap(self) -> int:
        """See `sandbox.SandboxFactory`."""
        return sum(_remove_leftovers(folder) for folder in self._state.leftovers(self.kind))

    def close(self) -> None:
        """Let go of the state folder; sandboxes that were not destroyed die with this process."""
        self._launcher.shutdown()
        self._state.close()

    def _launch(self, spec: SandboxSpec, folder: SandboxFolder) -> subprocess.Popen[bytes]:
        cgroups = plan_cgroup(f"hearth-{folder.id}")
        folder.note_cgroups(tuple(map(str, cgroups)))
        if not create_cgroup(cgroups, spec.limits, spec.pids_max):
            cgroups = ()
        self._warn_once(spec, is_limited=bool(cgroups))
        program = _LAUNCHER if spec.own_bootstrap else _PROGRAMS[spec.runtime]
        places = Places(
            task=folder.choose_task(spec.code_dir),
            runtime=RUNTIMES / spec.runtime,
            run=folder.run,
            etc=self._etc,
            output=folder.output,
        )
        command = build_command(
            places,
            # As in Docker: some languages must know their memory when they start.
            ("env", f"AWS_LAMBDA_FUNCTION_MEMORY_SIZE={spec.limits.memory_mb}", *program),
            Walls(
                tmp_mb=spec.tmp_mb,
                filter=self._filter,
                files_to_join=files_to_join(cgroups),
                processes_max=None if cgroups else find_processes_max(spec.pids_max),
            ),
            stage_table=_write_stage_table(places, folder),
        )
        return self._launcher.submit(_run_command, command).result()

    def _probe(self) -> None:
        folder = self._create_folder()
        places = Places(
            task=folder.run,
            runtime=self._etc,
            run=folder.run,
            etc=self._etc,
            output=folder.output,
        )
        command = build_command(
            places,
            ("true",),
            Walls(tmp_mb=1, filter=self._filter),
            stage_table=_write_stage_table(places, folder),
        )
        try:
            probe_bubblewrap(command)
        except SandboxError:
            self._state.close()
            raise
        finally:
            folder.remove()

    def _warn_once(self, spec: SandboxSpec, *, is_limited: bool) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        offered = "none, though egress was asked for" if spec.network is Network.EGRESS else "none"
        log_event(
            LOG,
            "sandbox.bubblewrap_isolation",
            level=logging.WARNING,
            network=offered,
            seccomp="kept" if self._filter else "NOT kept: see sandbox.no_seccomp",
            memory_and_cpu_limits="kept" if is_limited else "NOT kept: no cgroup permitted",
            advice="SANDBOX=docker gives egress and, to whoever may use Docker, limits",
        )


def _run_command(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PATH": PATH},
        start_new_session=True,  # an interrupt at the terminal is for the executor alone
    )


def _find_death(process: subprocess.Popen[bytes] | None) -> str | None:
    if process is None or process.poll() is None:
        return None
    said = process.stderr.read(2_000).decode("utf-8", "replace").strip() if process.stderr else ""
    return f"{describe_status(process.returncode)}; {said or 'it said nothing'}"


def _open_process(pid: int) -> int:
    with suppress(OSError):
        return os.pidfd_open(pid)
    return -1


def _end_process(process: subprocess.Popen[bytes], bootstrap: int = -1) -> None:
    """Kill bwrap, and with it everything in its PID namespace; wait until that is done."""
    if process.stderr is not None:
        process.stderr.close()
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    if bootstrap >= 0:
        wait_readable([bootstrap], _END_SECONDS)
        os.close(bootstrap)


def _remove_leftovers(folder: SandboxFolder) -> bool:
    """Remove what is left besides living connections; whether nothing is left."""
    cgroups = tuple(map(Path, folder.owner.cgroups))
    if not (kill_cgroup(cgroups) and remove_cgroup(cgroups)):
        # Its folder stays: the next executor's `reap` finds it.
        log_event(LOG, "sandbox.left", level=logging.WARNING, sandbox=folder.id, cgroups=cgroups)
        return False
    folder.remove()
    return True


def _write_filter(path: Path) -> Path | None:
    """The filter of system calls, as a file; None where it cannot be made."""
    try:
        compiled = compile_filter()
    except SeccompMissingError as error:
        log_event(LOG, "sandbox.no_seccomp", level=logging.WARNING, reason=error)
        return None
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(compiled)
    draft.replace(path)
    return path


def _write_stage_table(places: Places, folder: SandboxFolder) -> Path | None:
    """Only root has to be left, and so only root needs a stage."""
    if os.geteuid() != 0:
        return None
    path = folder.path / "stage"
    path.write_text(format_stage_table(places))
    return path
