"""Which system calls the code in a sandbox may make; pure. The same on every kind of sandbox.

Not here: making a filter of it (`libseccomp`).

Allowed is what Linux had when this list was last looked through, less what is named here; what
came later is unknown to the sandbox until somebody has looked at it. So the list is one of
refusals, which can be read, and its effect that of a list of permissions.
"""

import errno

from msgspec import Struct, json

# The last number that was looked through: mseal of Linux 6.10. Since 424 all machines share them.
NUMBER_MAX = 462

# Refused whatever the arguments, by what they are for.
REFUSED_FOR = {
    "the kernel's keyring, which no namespace divides: sandboxes would meet in it": (
        "add_key keyctl request_key"
    ),
    "large and young interfaces, from which exploits start": (
        "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
        "fanotify_init"
    ),
    "mounts and roots": (
        "mount umount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount "
        "fspick mount_setattr quotactl quotactl_fd swapon swapoff"
    ),
    "namespaces (clone: below)": "unshare setns",
    "other processes": (
        "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd"
    ),
    "files by handle: from there every file of the file system could be opened": (
        "open_by_handle_at name_to_handle_at"
    ),
    "the kernel, its clock and names": (
        "kexec_load kexec_file_load init_module finit_module delete_module create_module "
        "query_module get_kernel_syms reboot acct syslog vhangup iopl ioperm modify_ldt "
        "clock_settime clock_adjtime settimeofday stime sethostname setdomainname personality "
        "lookup_dcookie nfsservctl"
    ),
    "where memory lies among processors": (
        "mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages"
    ),
    "long gone, or never there": (
        "uselib ustat sysfs _sysctl afs_syscall tuxcall security vserver getpmsg putpmsg "
        "epoll_ctl_old epoll_wait_old"
    ),
}
REFUSED = tuple(name for names in REFUSED_FOR.values() for name in names.split())

# Its flags lie in memory, where no filter can look; told that it is unknown, libc takes clone.
UNKNOWN = ("clone3",)

_NAMESPACE_FLAGS = 0x7E02_0000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
# Not among them: AF_VSOCK, which leads to the hypervisor out of every network namespace.
_FAMILIES_REFUSED = [n for n in range(46) if n not in _FAMILIES]

EQUAL, MASKED_EQUAL = 4, 7  # as libseccomp counts them


class Rule(Struct, frozen=True):
    """What to do with one system call; where `operator` is set, only if the argument 0 is so."""

    name: str
    error: int | None  # None: allowed
    operator: int | None = None
    first: int = 0  # the value, or for MASKED_EQUAL the mask
    second: int = 0  # for MASKED_EQUAL the value


def decide_rules(known: list[str]) -> list[Rule]:
    """The rules for a machine whose system calls are `known`; what has no rule is unknown there."""
    special = {*REFUSED, *UNKNOWN, "clone", "socket"}
    return [
        *(Rule(name, None) for name in known if name not in special),
        *(Rule(name, errno.EPERM) for name in REFUSED if name in known),
        Rule("clone", None, MASKED_EQUAL, _NAMESPACE_FLAGS, 0),
        *(
            Rule("clone", errno.EPERM, MASKED_EQUAL, 1 << bit, 1 << bit)
            for bit in range(32)
            if _NAMESPACE_FLAGS >> bit & 1
        ),
        *(Rule("socket", None, EQUAL, family) for family in _FAMILIES),
        *(Rule("socket", errno.EAFNOSUPPORT, EQUAL, family) for family in _FAMILIES_REFUSED),
    ]


_DOCKER_OPERATORS = {EQUAL: "SCMP_CMP_EQ", MASKED_EQUAL: "SCMP_CMP_MASKED_EQ"}


def format_docker_profile(known: list[str]) -> str:
    """The rules as a seccomp profile of Docker."""
    # Engines before 21 do not read defaultErrnoRet; runc then tells new calls from refused ones.
    rules = [*decide_rules(known), *(Rule(name, errno.ENOSYS) for name in UNKNOWN)]
    plain: dict[int | None, list[str]] = {}
    for rule in rules:
        if rule.operator is None:
            plain.setdefault(rule.error, []).append(rule.name)
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "syscalls": [
            *({"names": names, **_format_action(error)} for error, names in plain.items()),
            *(_format_conditional(rule) for rule in rules if rule.operator is not None),
        ],
    }
    return json.encode(profile).decode()


def _format_conditional(rule: Rule) -> dict[str, object]:
    operator = "SCMP_CMP_EQ" if rule.operator == EQUAL else "SCMP_CMP_MASKED_EQ"
    argument = {"index": 0, "value": rule.first, "valueTwo": rule.second, "op": operator}
    return {"names": [rule.name], "args": [argument], **_format_action(rule.error)}


def _format_action(error: int | None) -> dict[str, object]:
    if error is None:
        return {"action": "SCMP_ACT_ALLOW"}
    return {"action": "SCMP_ACT_ERRNO", "errnoRet": error}
