"""The command line that starts a bubblewrap sandbox; pure.

Not here: running it (`bubblewrap_sandbox`).

From outside in: a shell joins the cgroup, sets resource limits and opens the filter of system
calls. As root it then collects the
sandbox's folders in one place, seen by nobody else, since they may lie where only root can look,
such as /root; and `setpriv` leaves root for good. At last bwrap makes the sandbox. Every step
replaces the one before, so that bwrap is the executor's child and dies with it.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from executor.exchange import ENVIRONMENT, OUTPUT_INSIDE, RUN_INSIDE

USER_ID = 65_501  # no account of its own; the same as in the Docker images
_MEBIBYTE = 1024 * 1024
_OPEN_FILES_MAX = 1_024  # Lambda's
_FILTER = 9  # the descriptor that bwrap reads the filter from, and closes
_JOIN = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; '
    f'ulimit -c 0; ulimit -n {_OPEN_FILES_MAX}; exec {_FILTER}<"$1"; shift; exec "$@"'
)
_STAGE = 'mount -a -T "$1" || exit 125; shift; exec "$@"'
_STAGES = ("/run", "/mnt", "/srv", "/media")  # folders of which a sandbox needs nothing
_TMP = "/tmp"  # noqa: S108 - the sandbox's own
_SHM = "/dev/shm"  # noqa: S108 - the sandbox's own
_SHM_MB = 64  # Docker's
_HIDDEN_OF_PROC = ("kcore", "keys", "timer_list", "sched_debug", "latency_stats")  # as in Docker
PATH_INSIDE = "/usr/local/bin:/usr/bin:/bin"
_ENVIRONMENT = {"PATH": PATH_INSIDE, "HOME": _TMP, "LANG": "C.UTF-8", **ENVIRONMENT}
_TOP_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FILES_OF_ETC = ("ld.so.cache", "alternatives", "ssl/certs", "pki/tls/certs", "pki/ca-trust")


class Places(Struct, frozen=True, kw_only=True):
    """What of the host is shown inside, and where it is shown; read-only but for the last."""

    task: Path  # /var/task
    runtime: Path  # /var/runtime
    run: Path  # /run/hearth
    etc: Path  # made-up passwd, group, hosts, nsswitch.conf
    output: Path  # /mnt/output


class Walls(Struct, frozen=True, kw_only=True):
    """What holds a sandbox together besides its namespaces."""

    tmp_mb: int
    filter: Path | None = None  # of system calls, as the kernel takes it
    files_to_join: Sequence[str] = ()  # of its cgroup
    processes_max: int | None = None  # where no cgroup counts them


def build_command(
    places: Places, program: Sequence[str], walls: Walls, *, stage_table: Path | None
) -> list[str]:
    """The whole command line; it needs no environment but PATH.

    `stage_table` is a file that holds `format_stage_table(places)`; None where root is not to be
    left because nobody is root.
    """
    join = ["/bin/sh", "-c", _JOIN, "sh", *walls.files_to_join, "--"]
    join += [str(walls.filter or "/dev/null")]
    if walls.processes_max is not None:
        program = ["prlimit", f"--nproc={walls.processes_max}", *program]
    if stage_table is None:
        return [*join, "bwrap", *_inner(places, walls), "--", *program]
    user = str(USER_ID)
    return [
        *join,
        *("unshare", "--mount", "/bin/sh", "-c", _STAGE, "sh", str(stage_table)),
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
        *("bwrap", *_inner(_staged(places), walls), "--", *program),
    ]


def format_stage_table(places: Places) -> str:
    """The mounts that show `places` where any user can look, as fstab(5) writes them."""
    staged = _staged(places)
    lines = [f"hearth-stage {staged.task.parent} tmpfs mode=755 0 0"]
    for name in Places.__struct_fields__:
        source, target = getattr(places, name), getattr(staged, name)
        lines.append(f"{_escape(source)} {target} none bind,X-mount.mkdir 0 0")
    return "\n".join([*lines, ""])


def _staged(places: Places) -> Places:
    sources = [getattr(places, name) for name in Places.__struct_fields__]
    stage = next(
        Path(name)
        for name in _STAGES
        if Path(name).is_dir() and not any(source.is_relative_to(name) for source in sources)
    )
    return Places(
        task=stage / "t", runtime=stage / "r", run=stage / "s", etc=stage / "e", output=stage / "o"
    )


def _escape(path: Path) -> str:
    escaped = str(path).replace("\\", "\\134")
    for plain in (" ", "\t", "\n"):
        escaped = escaped.replace(plain, f"\\{ord(plain):03o}")
    return escaped


def _inner(places: Places, walls: Walls) -> list[str]:
    user = str(USER_ID)
    return [
        *("--unshare-user", "--disable-userns", "--uid", user, "--gid", user),
        *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
        *(part for item in _ENVIRONMENT.items() for part in ("--setenv", *item)),
        *("--ro-bind", "/usr", "/usr"),
        *(part for name in _TOP_FOLDERS for part in _show_top_folder(Path("/") / name)),
        *(part for name in _FILES_OF_ETC for part in _show_of_etc(name)),
        *(part for name in FILES_MADE_UP for part in _show_made_up(places.etc, name)),
        *("--proc", "/proc", *(part for name in _HIDDEN_OF_PROC for part in _hide(name))),
        # By itself /dev can be written, up to half of the host's memory.
        *("--dev", "/dev", *_make_writable(_SHM, _SHM_MB), "--remount-ro", "/dev"),
        *_make_writable(_TMP, walls.tmp_mb),
        *("--ro-bind", str(places.runtime), "/var/runtime"),
        *("--ro-bind", str(places.task), "/var/task"),
        *("--ro-bind", str(places.run), RUN_INSIDE),
        *("--bind", str(places.output), OUTPUT_INSIDE),
        *("--symlink", "../tmp", f"/var{_TMP}"),
        *("--remount-ro", "/", "--chdir", "/var/task"),
        *(("--seccomp", str(_FILTER)) if walls.filter else ()),
    ]


def _make_writable(path: str, size_mb: int) -> list[str]:
    return ["--perms", "1777", "--size", str(size_mb * _MEBIBYTE), "--tmpfs", path]


def _hide(name: str) -> list[str]:
    path = Path("/proc") / name
    return ["--ro-bind", "/dev/null", str(path)] if path.exists() else []


FILES_MADE_UP = {
    "passwd": f"root:x:0:0::/:/bin/false\nsandbox:x:{USER_ID}:{USER_ID}::/tmp:/bin/sh\n",
    "group": f"root:x:0:\nsandbox:x:{USER_ID}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def _show_top_folder(path: Path) -> list[str]:
    """/bin and its like: links into /usr on most systems, folders on some."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _show_of_etc(name: str) -> list[str]:
    return ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]


def _show_made_up(etc: Path, name: str) -> list[str]:
    return ["--ro-bind", str(etc / name), f"/etc/{name}"]
