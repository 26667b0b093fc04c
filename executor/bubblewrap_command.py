"""The command line that starts a bubblewrap sandbox; pure.

Not here: running it (`bubblewrap_sandbox`).

From outside in: a shell joins the cgroup and sets resource limits; as root, a first bwrap collects
the sandbox's folders in one place and `setpriv` leaves root for good (the folders may lie where
only root can look, such as /root); the last bwrap makes the sandbox.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

USER_ID = 65_501  # no account of its own; the same as in the Docker images
_MEBIBYTE = 1024 * 1024
_OPEN_FILES_MAX = 1_024  # Lambda's
_JOIN = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; '
    f'ulimit -c 0; ulimit -n {_OPEN_FILES_MAX}; exec "$@"'
)
_STAGE = Path("/run")  # exists everywhere; the sandbox gets nothing else from it
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
_TOP_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FILES_OF_ETC = ("ld.so.cache", "alternatives", "ssl/certs", "pki/tls/certs", "pki/ca-trust")


class Places(Struct, frozen=True, kw_only=True):
    """What of the host is shown inside, and where it is shown, all read-only."""

    task: Path  # /var/task
    runtime: Path  # /var/runtime
    run: Path  # /run/hearth
    etc: Path  # made-up passwd, group, hosts, nsswitch.conf


def build_command(
    places: Places,
    *,
    bwrap: str,
    program: Sequence[str],
    tmp_mb: int,
    files_to_join: Sequence[str],
    as_root: bool,
) -> list[str]:
    """The whole command line; it needs no environment."""
    join = ["/bin/sh", "-c", _JOIN, "sh", *files_to_join, "--"]
    if not as_root:
        return [*join, bwrap, *_inner(places, tmp_mb), "--", *program]
    stage = Places(task=_STAGE / "t", runtime=_STAGE / "r", run=_STAGE / "s", etc=_STAGE / "e")
    user = str(USER_ID)
    leave_root = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    inner = [bwrap, *_inner(stage, tmp_mb), "--", *program]
    return [*join, bwrap, *_outer(places, stage), "--", *leave_root, *inner]


def _outer(places: Places, stage: Places) -> list[str]:
    shown = ["--dev-bind", "/", "/", "--tmpfs", str(_STAGE)]
    for name in Places.__struct_fields__:
        shown += ["--ro-bind", str(getattr(places, name)), str(getattr(stage, name))]
    return shown


def _inner(places: Places, tmp_mb: int) -> list[str]:
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
        *("--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", "--size", str(tmp_mb * _MEBIBYTE), "--tmpfs", "/tmp"),
        *("--ro-bind", str(places.runtime), "/var/runtime"),
        *("--ro-bind", str(places.task), "/var/task"),
        *("--ro-bind", str(places.run), "/run/hearth"),
        *("--symlink", "../tmp", "/var/tmp"),
        *("--remount-ro", "/", "--chdir", "/var/task"),
    ]


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
