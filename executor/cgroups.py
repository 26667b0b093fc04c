"""Where the cgroups of a process lie: `/proc/<pid>/cgroup` joined with the mounted hierarchies.

Not here: reading measures (`readings`), creating cgroups (`own_cgroup`).

On cgroup v1 every controller may be mounted on its own, several may share a mount, and a hybrid
machine has both versions; nothing about `/sys/fs/cgroup` is taken for granted.
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

UNIFIED = ""  # the name of the cgroup v2 hierarchy in /proc/<pid>/cgroup
CALL_CGROUP = "hearth-call-"
"""How the name of a cgroup begins that lies below a sandbox's own and is part of it."""


class Hierarchy(Struct, frozen=True):
    """A mounted cgroup hierarchy; `root` is the part of it that the mount shows."""

    root: str
    mount: Path


def read_cgroups(pid: int, proc: Path = Path("/proc")) -> dict[str, Path]:
    """Controller -> folder of the cgroup of process `pid`; `UNIFIED` for cgroup v2.

    Without the cgroups that this process cannot see, such as those outside its own container.
    Empty when the process is gone.
    """
    hierarchies = read_hierarchies(proc)
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return {}
    return dict(_locate(lines, hierarchies))


def read_own_cgroups(pid: int, proc: Path = Path("/proc")) -> dict[str, Path]:
    """The cgroups of `pid` that this process is not in: those that count the sandbox alone."""
    mine = read_cgroups_of_self(proc)
    return {
        controller: folder
        for controller, folder in read_cgroups(pid, proc).items()
        if controller not in mine or not mine[controller].is_relative_to(folder)
    }


def read_cgroups_of_self(proc: Path = Path("/proc")) -> dict[str, Path]:
    """The cgroups of this process; `/proc/self` is right in every PID namespace."""
    lines = (proc / "self" / "cgroup").read_text().splitlines()
    return dict(_locate(lines, read_hierarchies(proc)))


def read_hierarchies(proc: Path = Path("/proc")) -> dict[str, Hierarchy]:
    """Controller -> where it is mounted; `UNIFIED` for cgroup v2."""
    hierarchies: dict[str, Hierarchy] = {}
    for line in (proc / "self" / "mountinfo").read_text().splitlines():
        place, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, mount = (_unescape(part) for part in place.split(" ")[3:5])
        names = [UNIFIED] if kind == "cgroup2" else options.split(",")
        for name in names:
            hierarchies.setdefault(name, Hierarchy(root, Path(mount)))
    return hierarchies


def _locate(lines: list[str], hierarchies: dict[str, Hierarchy]) -> Iterator[tuple[str, Path]]:
    for line in lines:
        _, controllers, name = line.split(":", 2)
        path = Path(name).parent if Path(name).name.startswith(CALL_CGROUP) else Path(name)
        for controller in controllers.split(","):
            hierarchy = hierarchies.get(controller)
            if hierarchy and path.is_relative_to(hierarchy.root):
                yield controller, hierarchy.mount / path.relative_to(hierarchy.root)


def _unescape(field: str) -> str:
    """Mountinfo writes space, tab, newline and backslash as three octal digits."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field
