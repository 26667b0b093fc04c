"""Compiling Go sources in bubblewrap, by the host's Go. Not here: the command (`go_compiler`)."""

import subprocess
from pathlib import Path

from executor.bubblewrap_command import Places, Walls, build_command
from executor.bubblewrap_host import PATH
from executor.go_compiler import (
    COMMAND,
    MEMORY_MB,
    PIDS_MAX,
    SECONDS_MAX,
    TMP_MB,
    WORDS_BYTES_MAX,
    Compilation,
)
from executor.own_cgroup import create_cgroup, files_to_join
from executor.sandbox import SandboxError
from executor.sandbox_folder import SandboxFolder
from shared.events import Limits

_SPARE_SECONDS = 30


def compile_in_bubblewrap(
    places: Places,
    folder: SandboxFolder,
    system_calls: Path | None,
    stage_table: Path | None,
    program: Path,
) -> Compilation:
    """Compile `places.task` to the file `program`. `folder` has noted the cgroups. Blocks.

    Raises SandboxError where the sandbox itself fails.
    """
    cgroups = tuple(map(Path, folder.owner.cgroups))
    limits = Limits(memory_mb=MEMORY_MB, timeout_ms=SECONDS_MAX * 1_000)
    if not create_cgroup(cgroups, limits, PIDS_MAX):
        cgroups = ()
    command = build_command(
        places,
        COMMAND,
        Walls(tmp_mb=TMP_MB, filter=system_calls, files_to_join=files_to_join(cgroups)),
        stage_table=stage_table,
    )
    words = folder.path / "words"
    with program.open("wb") as output, words.open("wb") as errors:
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd="/",
                env={"PATH": PATH},
                timeout=SECONDS_MAX + _SPARE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxError(f"the Go compiler's sandbox: {error}") from error
    with words.open("rb") as errors:
        return Compilation(done.returncode, errors.read(WORDS_BYTES_MAX))
