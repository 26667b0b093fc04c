"""Turns a generic sandbox into that of a function, from outside: its code and its memory limit.

Not here: when (`nursery`), and what each kind of sandbox does besides.

The code is hard-linked into a folder that the sandbox has shown as /var/task since its start. Not
mounted: that takes rights in the sandbox's mount namespace which an executor in a container, or one
that is not root, does not have. A link costs microseconds and no space, and the sandbox cannot
write through it: it sees the folder read-only, and its files belong to another user.
"""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from executor.cgroups import UNIFIED, read_own_cgroups
from executor.sandbox import SandboxError, SandboxSpec

_MEBIBYTE = 1024 * 1024
_NOT_BY_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM)


def furnish(task: Path, pid: int, spec: SandboxSpec, granted_mb: int) -> None:
    """Fill the folder `task` of the sandbox in which `pid` runs; it was granted `granted_mb`.

    Raises SandboxError.
    """
    assert spec.code_dir is not None, "furnished without code"
    try:
        link_tree(spec.code_dir, task)
        if spec.limits.memory_mb != granted_mb:
            set_memory_limit(read_own_cgroups(pid), spec.limits.memory_mb * _MEBIBYTE)
    except OSError as error:
        message = f"a generic sandbox cannot become that of {spec.function_id}: {error}"
        raise SandboxError(message) from error


def link_tree(source: Path, target: Path) -> None:
    """Show every file of `source` in the folder `target`, which is there and empty."""
    with os.scandir(source) as entries:
        for entry in entries:
            place = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                place.mkdir()
                shutil.copystat(entry.path, place)
                link_tree(Path(entry.path), place)
            else:
                _link(entry.path, place)


def set_memory_limit(cgroups: Mapping[str, Path], limit_bytes: int) -> None:
    """Grant that much memory; no swap either way. Raises OSError where less is refused.

    Where there is no cgroup there is no limit to set, as at the sandbox's start.
    """
    if "memory" in cgroups:
        _set_limit_1(cgroups["memory"], limit_bytes)
        return
    folder = cgroups.get(UNIFIED)
    if folder is not None and (folder / "memory.max").exists():
        _refuse_below_use(int((folder / "memory.current").read_text()), limit_bytes)
        (folder / "memory.max").write_text(str(limit_bytes))


def _set_limit_1(folder: Path, limit_bytes: int) -> None:
    _refuse_below_use(int((folder / "memory.usage_in_bytes").read_text()), limit_bytes)
    memory, with_swap = folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"
    # The limit with swap is never below the other one, so the way up begins with it.
    order = [with_swap, memory] if with_swap.exists() else [memory]
    if limit_bytes < int(memory.read_text()):
        order.reverse()
    for path in order:
        path.write_text(str(limit_bytes))


def _refuse_below_use(use_bytes: int, limit_bytes: int) -> None:
    if limit_bytes < use_bytes:
        message = f"{limit_bytes} bytes are less than the {use_bytes} in use"
        raise OSError(errno.EBUSY, message)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NOT_BY_LINK:
            raise
        shutil.copy2(source, target)
