"""What attempts have in common: a book of what was got and what was refused; system calls."""

import ctypes
import errno
import os
import platform
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {  # x86_64, aarch64; the same on both from 424 on
    "ptrace": (101, 117), "syslog": (103, 116), "personality": (135, 92), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "swapon": (167, 224),
    "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162),
    "acct": (163, 89), "quotactl": (179, 60), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "unshare": (272, 97), "setns": (308, 268), "clone3": (435, 435),
    "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "capset": (126, 91),
    "io_uring_setup": (425, 425), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "pidfd_getfd": (438, 438), "mount_setattr": (442, 442),
    "mbind": (237, 235), "ioprio_set": (251, 30), "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18), "vhangup": (153, 58),
}  # fmt: skip
COLUMN = 0 if platform.machine() == "x86_64" else 1
SECONDS = 1.0  # until an address counts as closed


class Tries:
    """What an attempt got hold of must stay empty; what was refused shows that it was tried."""

    def __init__(self):
        self.got = []
        self.refused = []

    def __call__(self, what, call, *arguments, **named):
        """Whatever `call` returns was got; an OSError is a refusal; None and b"" are nothing."""
        try:
            value = call(*arguments, **named)
        except OSError as error:
            code = errno.errorcode.get(error.errno, type(error).__name__)
            self.refused.append(f"{what}: {code}")
            return None
        if value in (None, b"", ""):
            self.refused.append(f"{what}: nothing")
        else:
            self.got.append(f"{what}: {value!r}"[:200])
        return value

    def system_call(self, name, *arguments):
        """Tried by number, past the C library; whatever it returns but an error was got."""
        self(name, system_call, name, *arguments)

    def verdict(self):
        """For the test."""
        return {"got": self.got, "refused": self.refused}


def system_call(name, *arguments):
    """The result as text, since 0 is a success too; raises OSError."""
    ctypes.set_errno(0)
    result = LIBC.syscall(NUMBERS[name][COLUMN], *arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
    return f"returned {result}"


def read(path, count=4096):
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(count)


def open_to_write(path):
    """Whether it opens; nothing is written."""
    os.close(os.open(path, os.O_WRONLY))
    return "opened to write"


def connect(host, port, kind=socket.SOCK_STREAM):
    """Whether somebody listens there; for Redis, what it says."""
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(SECONDS)
        connection.connect((host, port))
        connection.sendall(b"PING\r\n")
        return f"connected, heard {connection.recv(64)!r}"


def connect_unix(address):
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(address)
        return "connected"
