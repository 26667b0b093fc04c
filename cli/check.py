"""One line of `hearth doctor`: what was looked at, how it is, how to mend it.

Not here: what is looked at (`checks_of_redis`, `checks_of_aws`, `checks_of_host`).
"""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"  # works, and may not do what is expected
    PROBLEM = "problem"  # does not work


class Check(NamedTuple):
    """A line."""

    level: Level
    subject: str
    found: str
    mend: str = ""  # what to do; empty where there is nothing to do


def ok(subject: str, found: str) -> Check:
    """It is well."""
    return Check(Level.OK, subject, found)


def warn(subject: str, found: str, mend: str) -> Check:
    """It works, but."""
    return Check(Level.WARNING, subject, found, mend)


def fail(subject: str, found: str, mend: str) -> Check:
    """It does not work."""
    return Check(Level.PROBLEM, subject, found, mend)
