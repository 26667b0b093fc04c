"""Attempts on the kernel: system calls that would leave the sandbox or change the machine."""

import ctypes
import os
import resource
import socket
import time

from tries import LIBC, Tries

NEW_NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "time": 0x00000080,
}  # fmt: skip
CLONE = {"x86_64": 56, "aarch64": 220}


def mounts(event, context):
    """The whole family."""
    tries = Tries()
    tries.system_call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
    tries.system_call("mount", b"/proc", b"/tmp", None, 4096, None)
    tries.system_call("mount", b"none", b"/", None, 32 | 4096, None)  # remount
    tries.system_call("mount", b"none", b"/sys/fs/cgroup", b"cgroup", 0, b"memory")
    tries.system_call("umount2", b"/tmp", 2)
    tries.system_call("umount2", b"/proc/keys", 2)
    tries.system_call("umount2", b"/run/hearth", 2)
    tries.system_call("pivot_root", b"/tmp", b"/tmp")
    tries.system_call("fsopen", b"tmpfs", 0)
    tries.system_call("open_tree", -100, b"/tmp", 1)
    tries.system_call("move_mount", -100, b"/proc", -100, b"/tmp", 0)
    tries.system_call("mount_setattr", -100, b"/", 0, bytes(32), 32)
    tries.system_call("swapon", b"/tmp/none", 0)
    return tries


def change_root(event, context):
    """The classic way out of a chroot begins with a chroot."""
    tries = Tries()
    here = os.open("/", os.O_RDONLY)
    tries.system_call("chroot", b"/tmp")
    tries("by descriptor", lambda: os.chroot(f"/proc/self/fd/{here}") or "done")
    return tries


def namespaces(event, context):
    """New ones, in which one would be root; and those of others."""
    tries = Tries()
    for name, flag in NEW_NAMESPACES.items():
        tries(f"unshare {name}", lambda f=flag: system("unshare", f))
        if name != "time":
            tries(f"clone {name}", clone_with, flag)
    tries.system_call("clone3", bytes(88), 88)
    for name in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
        tries(f"setns {name}", enter_namespace, f"/proc/1/ns/{name}")
    return tries


def system(name, *arguments):
    from tries import system_call

    return system_call(name, *arguments)


def clone_with(flag):
    """A child in a new namespace; it ends at once."""
    ctypes.set_errno(0)
    child = LIBC.syscall(CLONE[os.uname().machine], flag | 17, 0, 0, 0, 0)
    if child == -1:
        raise OSError(ctypes.get_errno(), "clone")
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made a child"


def enter_namespace(path):
    descriptor = os.open(path, os.O_RDONLY)
    return system("setns", descriptor, 0)


def other_processes(event, context):
    """Holding, reading and changing other processes: the launcher, those of the host."""
    tries = Tries()
    here, there = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
    for pid in (1, os.getppid(), *event["host_pids"]):
        tries.system_call("ptrace", 16, pid, 0, 0)  # attach
        tries.system_call("ptrace", 0x4206, pid, 0, 0)  # seize
        tries.system_call("process_vm_readv", pid, here, 0, there, 0, 0)
        tries.system_call("process_vm_writev", pid, here, 0, there, 0, 0)
        tries.system_call("kcmp", os.getpid(), pid, 0, 0, 0)
    tries.system_call("pidfd_getfd", os.pidfd_open(1), 0, 0)
    return tries


def host_signals(event, context):
    """Signals to processes of the host."""
    tries = Tries()
    for pid in event["host_pids"]:
        tries("kill", lambda pid=pid: os.kill(pid, 0) or "reached")
    return tries


def machine(event, context):
    """What only the administrator of the machine may do."""
    tries = Tries()
    tries.system_call("init_module", 0, 0, b"")
    tries.system_call("finit_module", -1, b"", 0)
    tries.system_call("delete_module", b"none", 0)
    tries.system_call("kexec_load", 0, 0, 0, 0)
    tries.system_call("reboot", 0, 0, 0, 0)  # wrong on purpose: who may would be told EINVAL
    tries.system_call("acct", b"/tmp/none")
    tries.system_call("quotactl", 0x80000700, 0, 0, 0)
    tries.system_call("syslog", 3, ctypes.create_string_buffer(64), 64)
    tries.system_call("vhangup")
    only_permitted = [line for line in tries.refused if not line.endswith(("EPERM", "ENOSYS"))]
    tries.got += [f"not for want of permission: {line}" for line in only_permitted]
    return tries


def large_interfaces(event, context):
    """Parts of the kernel that exploits start from."""
    tries = Tries()
    tries.system_call("bpf", 0, bytes(72), 72)
    tries.system_call("perf_event_open", bytes(4) + (112).to_bytes(4, "little") + bytes(104), 0, -1,
                      -1, 0)  # fmt: skip
    tries.system_call("userfaultfd", 1)
    tries.system_call("io_uring_setup", 8, ctypes.create_string_buffer(256))
    tries.system_call("fanotify_init", 0x200, 0)
    tries.system_call("mbind", 0, 0, 0, 0, 0, 0)
    only_refused = [line for line in tries.refused if not line.endswith(("EPERM", "ENOSYS"))]
    tries.got += [f"not for want of permission: {line}" for line in only_refused]
    return tries


def keyring(event, context):
    """The kernel's keyring is divided by user and by no namespace."""
    tries = Tries()
    tries.system_call("add_key", b"user", b"hearth-escape", b"x", 1, -2)
    tries.system_call("keyctl", 0, -4, 1)
    tries.system_call("request_key", b"user", b"hearth-escape", None, -2)
    return tries


def clock(event, context):
    """The time of all."""
    tries = Tries()
    now = (ctypes.c_int64 * 2)(int(time.time()), 0)
    tries.system_call("clock_settime", 0, now)
    tries.system_call("settimeofday", now, None)
    change = (ctypes.c_uint32 * 64)(0x0002)  # ADJ_FREQUENCY, to 0
    tries.system_call("adjtimex", change)
    tries.system_call("clock_adjtime", 0, change)
    return tries


def names(event, context):
    """The machine's name."""
    tries = Tries()
    tries.system_call("sethostname", b"evil", 4)
    tries.system_call("setdomainname", b"evil", 4)
    return tries


def priority(event, context):
    """More than our share of the processors, and higher limits."""
    tries = Tries()
    tries("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5) or "done")
    tries("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "done")
    tries.system_call("ioprio_set", 1, 0, 1 << 13)
    for name in ("NOFILE", "CORE", "NICE", "RTPRIO"):
        kind = getattr(resource, f"RLIMIT_{name}")
        more = resource.getrlimit(kind)[1] + 1

        def raise_limit(kind=kind, more=more):
            try:
                resource.setrlimit(kind, (more, more))
            except ValueError as error:
                raise PermissionError(1, "refused") from error
            return "raised"

        tries(name, raise_limit)
    return tries


def handles(event, context):
    """Opening files of the host by their number, as was done to Docker 1.0."""
    tries = Tries()
    handle = ctypes.create_string_buffer((8).to_bytes(4, "little") + (1).to_bytes(4, "little")
                                         + (2).to_bytes(8, "little"), 136)  # fmt: skip
    mount = ctypes.c_int()
    task = os.open(".", os.O_RDONLY)
    tries.system_call("open_by_handle_at", task, handle, 0)
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little"), 136)
    tries.system_call("name_to_handle_at", -100, b".", handle, ctypes.byref(mount), 0)
    return tries


def odd_sockets(event, context):
    """Kinds of sockets that no namespace divides, or that see others' packets."""
    tries = Tries()
    for name, family, kind, protocol in (
        ("vsock", 40, socket.SOCK_STREAM, 0),
        ("packet", 17, socket.SOCK_RAW, 0x0300),
        ("packet datagrams", 17, socket.SOCK_DGRAM, 0x0300),
        ("raw", 2, socket.SOCK_RAW, 1),
        ("raw 6", 10, socket.SOCK_RAW, 58),
        ("crypto", 38, socket.SOCK_SEQPACKET, 0),
        ("bluetooth", 31, socket.SOCK_RAW, 1),
        ("can", 29, socket.SOCK_RAW, 1),
        ("key", 15, socket.SOCK_RAW, 2),
        ("tipc", 30, socket.SOCK_STREAM, 0),
        ("xdp", 44, socket.SOCK_RAW, 0),
        ("smc", 43, socket.SOCK_STREAM, 0),
    ):
        tries(name, lambda f=family, k=kind, p=protocol: str(socket.socket(f, k, p)))
    return tries


def privileges(event, context):
    """The bonds themselves: what was set before we came must not come off."""
    tries = Tries()

    def control(option, *arguments):
        ctypes.set_errno(0)
        if LIBC.prctl(option, *arguments, 0, 0) == -1:
            raise OSError(ctypes.get_errno(), "prctl")
        return "done"

    tries("no_new_privs off", control, 38, 0, 0)
    tries("keep capabilities", control, 28, 0x3F, 0)
    tries("bounding set", control, 24, 21, 0)
    tries("ambient", control, 47, 2, 21)
    tries("seccomp off", control, 22, 0, 0)
    tries.system_call("personality", 0x0040000)
    with open("/proc/self/status") as status:
        lines = dict(line.strip().partition(":\t")[::2] for line in status)
    wanted = {"CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1",
              "Seccomp": "2"}  # fmt: skip
    tries.got += [f"{name} {lines[name]}" for name in wanted if lines[name] != wanted[name]]
    return tries
