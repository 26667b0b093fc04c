"""A cgroup for one sandbox that is not Docker's: created, limited, joined, emptied, removed.

Not here: readings and the CPU quota (`readings.Meter` does both).

It lies below the executor's own cgroup, so whatever limits the executor limits its sandboxes too.
On cgroup v2 a cgroup that holds processes cannot have children with controllers; then the top of
the visible hierarchy is tried.
"""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from executor.cgroups import CALL_CGROUP, UNIFIED, read_cgroups_of_self, read_hierarchies
from shared.events import Limits

_CONTROLLERS_1 = ("memory", "cpu", "cpuacct", "pids", "blkio", "freezer")
_CONTROLLERS_2 = ("memory", "cpu", "pids", "io")
_MEBIBYTE = 1024 * 1024
_EMPTY_SECONDS = 5.0


def plan_cgroup(name: str) -> tuple[Path, ...]:
    """The folders that `create_cgroup` would make for a sandbox; empty where none is permitted."""
    mine = read_cgroups_of_self()
    if "memory" in mine:
        # v2 mounted beside v1 has no controllers, and tells pressure for each of its cgroups.
        names = (*_CONTROLLERS_1, UNIFIED)
        parents = [mine[controller] for controller in names if controller in mine]
    else:
        parents = _delegating_parents(mine)
    # Two controllers on one mount have one folder.
    return tuple(dict.fromkeys(parent / name for parent in parents if os.access(parent, os.W_OK)))


def create_cgroup(folders: Iterable[Path], limits: Limits, pids_max: int) -> bool:
    """Make the folders and set their limits; False, and nothing made, where that is refused."""
    memory_bytes = str(limits.memory_mb * _MEBIBYTE)
    made: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir()
            made.append(folder)
            _set(folder / "memory.limit_in_bytes", memory_bytes)
            _set(folder / "memory.memsw.limit_in_bytes", memory_bytes)
            _set(folder / "memory.max", memory_bytes)
            _set(folder / "memory.swap.max", "0")
            _set(folder / "pids.max", str(pids_max))
    except OSError:
        remove_cgroup(made)
        return False
    return bool(made)


def files_to_join(folders: Iterable[Path]) -> list[str]:
    """A process that writes 0 to these files is in the cgroup."""
    return [str(folder / "cgroup.procs") for folder in folders]


def kill_cgroup(folders: Iterable[Path]) -> bool:
    """Kill every process in it; whether none is left."""
    folders = tuple(folders)
    deadline = time.monotonic() + _EMPTY_SECONDS
    pause_s = 0.001
    while members := set[int]().union(*map(_read_members, folders)):
        for folder in folders:
            # A frozen process dies only once it is thawed.
            _set_if_possible(folder / "freezer.state", "THAWED")
            _set_if_possible(folder / "cgroup.freeze", "0")
            _set_if_possible(folder / "cgroup.kill", "1")
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
    return True


def remove_cgroup(folders: Iterable[Path]) -> bool:
    """Remove the folders once the kernel lets go; whether none is left. May be called again."""
    left = [folder for folder in folders if not _remove_folder(folder)]
    return not left


def _remove_folder(folder: Path) -> bool:
    deadline = time.monotonic() + _EMPTY_SECONDS
    while time.monotonic() < deadline:
        try:
            for below in _list_below(folder):
                below.rmdir()
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:  # busy: the last process is not quite gone
            time.sleep(0.002)
        else:
            return True
    return False


def _delegating_parents(mine: dict[str, Path]) -> list[Path]:
    """The cgroup v2 folder below which a sandbox can have memory and CPU of its own."""
    hierarchy = read_hierarchies().get(UNIFIED)
    if hierarchy is None or UNIFIED not in mine:
        return []
    for parent in (mine[UNIFIED], hierarchy.mount):
        for controller in _CONTROLLERS_2:
            _set_if_possible(parent / "cgroup.subtree_control", f"+{controller}")
        with suppress(OSError):
            if "memory" in (parent / "cgroup.subtree_control").read_text().split():
                return [parent]
    return []


def _read_members(folder: Path) -> set[int]:
    """Everybody in it, and in what is part of it."""
    members = set[int]()
    for part in (folder, *_list_below(folder)):
        with suppress(OSError):
            members |= {int(pid) for pid in (part / "cgroup.procs").read_text().split()}
    return members


def _list_below(folder: Path) -> list[Path]:
    """The cgroups of its calls (`call_cgroup`)."""
    with suppress(OSError):
        return list(folder.glob(f"{CALL_CGROUP}*"))
    return []


def _set(path: Path, text: str) -> None:
    """Write where the controller has that file; it may refuse."""
    if path.exists():
        path.write_text(text)


def _set_if_possible(path: Path, text: str) -> None:
    with suppress(OSError):
        _set(path, text)
