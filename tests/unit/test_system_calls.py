"""The rules about system calls, and both forms that they are handed over in."""

import errno
from typing import Any

from msgspec import json

from executor.libseccomp import compile_filter, list_system_calls
from executor.system_calls import REFUSED, UNKNOWN, decide_rules, format_docker_profile

KNOWN = ["read", "clone", "clone3", "socket", "mount", "ptrace", "uselib"]
INSTRUCTION_BYTES = 8


def read_profile(known: list[str]) -> dict[str, list[dict[str, Any]]]:
    """System call -> its entries."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in json.decode(format_docker_profile(known))["syscalls"]:
        for name in entry["names"]:
            entries.setdefault(name, []).append(entry)
    return entries


def test_a_system_call_is_allowed_or_refused() -> None:
    """Never both, where it does not depend on its arguments."""
    plain = [rule for rule in decide_rules(KNOWN) if rule.operator is None]

    assert {"read": None, "mount": 1, "ptrace": 1, "uselib": 1} == {
        rule.name: rule.error for rule in plain
    }
    assert 4 == len(plain)


def test_nothing_is_refused_twice() -> None:
    """The list of refusals is sorted by reason; a name has one."""
    assert len(REFUSED) == len(set(REFUSED))
    assert not set(REFUSED) & {*UNKNOWN, "clone", "socket"}


def test_dockers_profile() -> None:
    """Refused is EPERM; clone3 is unknown, so that libc takes clone, whose flags can be seen."""
    entries = read_profile(KNOWN)

    assert {"names": ["read"], "action": "SCMP_ACT_ALLOW"} == entries["read"][0]
    assert errno.EPERM == entries["mount"][0]["errnoRet"]
    assert errno.ENOSYS == entries["clone3"][0]["errnoRet"]
    allowed = [one for one in entries["clone"] if one["action"] == "SCMP_ACT_ALLOW"]
    assert [0x7E02_0000, 0] == [allowed[0]["args"][0][name] for name in ("value", "valueTwo")]
    families = [
        one["args"][0]["value"] for one in entries["socket"] if one["action"] == "SCMP_ACT_ALLOW"
    ]
    assert [1, 2, 10, 16] == families


def test_what_functions_need_is_allowed() -> None:
    """A list that forgets to allow would stop every function; one that forgets to refuse, none."""
    entries = read_profile(list_system_calls())
    needed = "read write openat mmap futex execve wait4 epoll_pwait connect memfd_create statx"

    assert [] == [name for name in needed.split() if entries[name][0]["action"] != "SCMP_ACT_ALLOW"]
    refused = [name for name in REFUSED if name in entries]
    assert {"SCMP_ACT_ERRNO"} == {entries[name][0]["action"] for name in refused}
    assert len(refused) > 60


def test_the_filter_compiles() -> None:
    """Whole instructions, and fewer than the kernel takes."""
    compiled = compile_filter()

    assert 0 == len(compiled) % INSTRUCTION_BYTES
    assert 100 < len(compiled) / INSTRUCTION_BYTES < 4096
