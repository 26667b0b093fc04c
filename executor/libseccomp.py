"""The part of libseccomp that makes filters: names of system calls, and BPF for the kernel.

Not here: what is allowed (`system_calls`). The library is on every Debian, since apt needs it; its
own Python bindings are not on PyPI, so it is called by ctypes.
"""

import ctypes
import os
from functools import cache

from executor.system_calls import NUMBER_MAX, Rule, decide_rules

_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF_0000
_ERROR = 0x0005_0000
_UNKNOWN_CALL = 38  # ENOSYS
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE
_BINARY_TREE = 2


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class SeccompMissingError(Exception):
    """The library is not there, or refuses the filter."""


@cache
def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        message = f"{_LIBRARY} is missing. Run: apt-get install libseccomp2"
        raise SeccompMissingError(message) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    return library


def list_system_calls() -> list[str]:
    """Names of this machine's system calls up to NUMBER_MAX. Raises SeccompMissingError."""
    library = _load()
    native = library.seccomp_arch_native()
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    names = []
    for number in range(NUMBER_MAX + 1):
        address = library.seccomp_syscall_resolve_num_arch(native, number)
        if address:
            names.append(ctypes.string_at(address).decode())
            free(address)
    return names


def compile_filter() -> bytes:
    """The rules as the kernel takes them. Raises SeccompMissingError."""
    library = _load()
    context = library.seccomp_init(_ERROR | _UNKNOWN_CALL)
    if not context:
        message = "libseccomp has no memory for a filter"
        raise SeccompMissingError(message)
    try:
        # Versions before 2.5 know no trees; then it is a list, which takes longer.
        library.seccomp_attr_set(context, _OPTIMIZE, _BINARY_TREE)
        for rule in decide_rules(list_system_calls()):
            _add(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Rule) -> None:
    number = library.seccomp_syscall_resolve_name(rule.name.encode())
    action = _ALLOW if rule.error is None else _ERROR | rule.error
    comparisons = (_Comparison * 1)()
    count = 0
    if rule.operator is not None:
        count = 1
        comparisons[0] = _Comparison(0, rule.operator, rule.first, rule.second)
    status = library.seccomp_rule_add_array(context, action, number, count, comparisons)
    if status != 0:
        message = f"libseccomp refuses the rule for {rule.name}: {os.strerror(-status)}"
        raise SeccompMissingError(message)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("filter")
    try:
        status = library.seccomp_export_bpf(context, descriptor)
        if status != 0:
            message = f"libseccomp makes no filter: {os.strerror(-status)}"
            raise SeccompMissingError(message)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)
