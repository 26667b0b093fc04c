"""How a process ended, in the words that Lambda uses.

Not here: finding out whether it was for want of memory.
"""

import signal

_SHELL_SIGNAL_BASE = 128  # "killed by signal n" as bwrap, tini and Docker report it: 128 + n
KILLED = _SHELL_SIGNAL_BASE + signal.SIGKILL


def describe_status(status: int) -> str:
    """Such as "exit status 3" or "signal: killed"; subprocess writes signals as negative."""
    number = -status if status < 0 else status - _SHELL_SIGNAL_BASE
    name = signal.strsignal(number) if 0 < number < signal.NSIG else None
    return f"signal: {name.lower()}" if name else f"exit status {status}"


def is_killed(status: int) -> bool:
    """Whether the process was killed, as the kernel does when memory runs out."""
    return status in (KILLED, -signal.SIGKILL)
