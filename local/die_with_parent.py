"""Becomes another program that the kernel ends when its parent is gone, SIGKILL included.

    python -I -S die_with_parent.py PARENT_PID PROGRAM ARGUMENT...

A program of its own, since code between fork and exec is unsafe in a process with threads. The
kernel watches the *thread* that forked; whoever starts this keeps that thread until the end.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Bind the life of this process to its parent's, then become the program."""
    parent, *program = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    if os.getppid() != int(parent):  # it died before the kernel was asked
        sys.exit("the parent is gone")
    try:
        os.execvp(program[0], program)  # noqa: S606 - an argument list, no shell is meant
    except FileNotFoundError:
        sys.exit(f"{program[0]}: not installed")


if __name__ == "__main__":
    main(sys.argv[1:])
