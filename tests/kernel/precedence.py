"""A moment of quiet on a busy machine: the measured and who measures it come first.

Truths are judged by what a function did, so nobody else may be in its way. Asking for the CPUs is
surer than waiting until others leave them; whether it was granted, each test sees by its own run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WEIGHTS = {"cpu.shares": "262144", "cpu.weight": "10000"}  # the most of v1 and of v2


def prefer(folders: tuple[Path, ...]) -> None:
    """The cgroup gets the CPUs before its neighbours."""
    for folder in folders:
        for name, weight in _WEIGHTS.items():
            if (folder / name).exists():
                (folder / name).write_text(weight)


@contextmanager
def at_once() -> Iterator[None]:
    """This thread runs as soon as it is woken, so that its samples are in time.

    It sleeps nearly always. Its children are as everybody.
    """
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, policy, parameter)
