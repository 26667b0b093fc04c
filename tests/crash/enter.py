"""Runs a module inside a network namespace: `python -m tests.crash.enter PATH MODULE WORD ...`.

Only the network changes; `ip netns exec` would also hide /sys/fs/cgroup.
"""

import ctypes
import os
import sys

CLONE_NEWNET = 0x40000000


def enter(path: str) -> None:
    """Move this process to the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(path, os.O_RDONLY)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)


if __name__ == "__main__":
    enter(sys.argv[1])
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])  # noqa: S606
