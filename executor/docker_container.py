"""What a sandbox's container is, as the Docker API writes it (`POST /containers/create`); pure.

Not here: calling the API (`docker_sandbox`).

`Init` is on: Docker's tini as process 1 reaps what functions leave behind (a warm sandbox would
else fill up with zombies), and a signal ends the bootstrap as it would anywhere, which process 1
is exempt from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from executor.exchange import ENVIRONMENT, OUTPUT_INSIDE, RUN_INSIDE
from executor.sandbox import SandboxSpec

USER = "65501:65501"  # no account of its own; the same as in bubblewrap
_MEBIBYTE = 1024 * 1024
_OPEN_FILES_MAX = 1_024  # Lambda's
_SHM_BYTES = 64 * _MEBIBYTE
_PAGES_OF_MEBIBYTE = 256
_TMP = "/tmp"  # noqa: S108 - the sandbox's own


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a container needs besides its function; its folders are shown read-only but one."""

    image: str
    network: str
    task: Path  # /var/task
    run: Path  # /run/hearth, with the socket
    output: Path  # OUTPUT_DIR, writable
    seccomp: str | None  # a profile; None: the engine's own stays in force
    labels: Mapping[str, str]


def describe_container(spec: SandboxSpec, around: Surroundings) -> dict[str, Any]:
    """The container of a sandbox."""
    memory_bytes = spec.limits.memory_mb * _MEBIBYTE
    filters = [f"seccomp={around.seccomp}"] if around.seccomp else []
    # Empty files take no page: without a limit of their own they would fill the kernel's memory.
    tmp = f"size={spec.tmp_mb}m,nr_inodes={spec.tmp_mb * _PAGES_OF_MEBIBYTE}"
    return {
        "Image": around.image,
        "Hostname": "sandbox",
        "User": USER,
        # Some languages must know it when they start, to collect their garbage in time.
        "Env": [
            f"AWS_LAMBDA_FUNCTION_MEMORY_SIZE={spec.limits.memory_mb}",
            *map("=".join, ENVIRONMENT.items()),
        ],
        "Labels": dict(around.labels),
        "HostConfig": {
            "Mounts": [
                _show(around.task, "/var/task"),
                _show(around.run, RUN_INSIDE),
                _show(around.output, OUTPUT_INSIDE, read_only=False),
            ],
            "ReadonlyRootfs": True,
            "Tmpfs": {_TMP: f"rw,exec,nosuid,nodev,mode=1777,{tmp}"},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true", *filters],
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,  # no swap: it would hide that memory ran out
            "PidsLimit": spec.pids_max,
            "Ulimits": [_limit("nofile", _OPEN_FILES_MAX), _limit("core", 0)],
            "NetworkMode": around.network,
            "IpcMode": "private",
            "ShmSize": _SHM_BYTES,
            "LogConfig": {"Type": "none"},  # what it writes comes by its own socket
            "RestartPolicy": {"Name": "no"},
            "Init": True,
        },
    }


def _show(source: Path, target: str, *, read_only: bool = True) -> dict[str, object]:
    # A mount and no "bind": a source that is not there is an error, not a new empty folder.
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}


def _limit(name: str, most: int) -> dict[str, object]:
    return {"Name": name, "Soft": most, "Hard": most}
