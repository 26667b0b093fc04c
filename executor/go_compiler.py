"""How Go sources become a bootstrap: the command, its limits, what its end means. Pure.

Not here: running it (`bubblewrap_compiler`, `docker_compiler`), keeping what came out (`programs`).

It runs in a sandbox without a network: what is not in the archive is not there, so modules must be
vendored. Nothing of the sources is executed by compiling, C is switched off. The program comes out
on stdout, the compiler's words on stderr.
"""

from pathlib import Path
from typing import NamedTuple

from executor.process_end import is_killed

MEMORY_MB = 2_048
TMP_MB = 1_024
PIDS_MAX = 512
PROGRAM_BYTES_MAX = 256 << 20
WORDS_BYTES_MAX = 64 << 10
SECONDS_MAX = 180
SEED = "/var/cache/go-build"  # of the compiler's image: the standard library, compiled

_TIMED_OUT = 124  # as `timeout` ends
_TOO_LARGE = 27
_WORDS_SHOWN_MAX = 3_000
_ELF = b"\x7fELF"
_SCRIPT = f"""
set -e
if [ -d {SEED} ]; then cp -r {SEED} /tmp/cache; fi
export HOME=/tmp GOCACHE=/tmp/cache GOPATH=/tmp/go GO111MODULE=on CGO_ENABLED=0
export GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
if [ -e go.mod ]; then what=.; else what=$(ls *.go | grep -v '_test\\.go$'); fi
timeout {SECONDS_MAX} go build -ldflags '-s -w' -o /tmp/bootstrap $what 1>&2
[ $(stat -c %s /tmp/bootstrap) -le {PROGRAM_BYTES_MAX} ] || exit {_TOO_LARGE}
exec cat /tmp/bootstrap
"""
# What runs in the sandbox, with the sources as working directory.
COMMAND = ("sh", "-c", _SCRIPT)


class Compilation(NamedTuple):
    """How the compiler ended."""

    status: int
    words: bytes  # bounded


def has_go_sources(folder: Path) -> bool:
    """Whether an archive is Go to be compiled: a module, or files of one package, at its root."""
    return (folder / "go.mod").is_file() or any(folder.glob("*.go"))


def find_fault(compilation: Compilation, program: bytes) -> str | None:
    """Why there is no program, in words for the sender; None when there is one.

    `program` is how it begins.
    """
    if compilation.status == _TOO_LARGE:
        return f"compiles to more than {PROGRAM_BYTES_MAX >> 20} MB"
    if compilation.status == 0:
        if program.startswith(_ELF):
            return None
        return "holds Go sources that are no program: its root must be package main"
    if compilation.status == _TIMED_OUT:
        return "holds Go sources that take too long to compile; upload a compiled bootstrap"
    if is_killed(compilation.status):
        return (
            f"holds Go sources that need more than {MEMORY_MB} MB to compile; "
            "upload a compiled bootstrap"
        )
    words = compilation.words.decode(errors="replace").strip()
    advice = ""
    if "module" in words or "-mod=vendor" in words:
        advice = " Modules are not downloaded: run `go mod vendor` and pack the folder vendor too."
    return f"holds Go sources that do not compile: {words[-_WORDS_SHOWN_MAX:]}{advice}"
