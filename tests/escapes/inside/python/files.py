"""Attempts on files: other functions' code, the host's files, /proc, /sys, devices, links."""

import ctypes
import os
import pathlib
import shutil
import socket
import subprocess

from tries import LIBC, Tries, connect_unix, open_to_write, read

WAYS_OUT = ("", "/proc/1/root", "/proc/self/root", "/proc/1/cwd/../..", "/var/task/../..", "/..")
SKIPPED = ("/proc", "/sys", "/usr", "/dev", "/lib", "/lib64", "/bin", "/sbin")


def other_code(event, context):
    """Another function's code by its path on the host, and by looking through every folder."""
    tries = Tries()
    for way in WAYS_OUT:
        for path in event["secret_files"]:
            tries(way + path, read, way + path)
    tries("search", search, event.get("search_root", "/"), event["secret"].encode())
    return tries


def search(root, wanted):
    """Paths of files that hold the secret."""
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if os.path.join(folder, name) not in SKIPPED]
        for name in files:
            path = os.path.join(folder, name)
            try:
                if os.path.isfile(path) and wanted in read(path, 1 << 20):
                    found.append(path)
            except OSError:
                continue
    return "\n".join(found)


def code_cache(event, context):
    """Changing the code that the next sandbox of this function starts from."""
    tries = Tries()
    main = "/var/task/main.py"
    tries("write", open_to_write, main)
    tries("chmod", lambda: os.chmod(main, 0o777) or "done")
    tries("unlink", lambda: os.unlink(main) or "done")
    tries("rename", lambda: os.rename(main, "/var/task/other.py") or "done")
    tries("new", lambda: pathlib.Path("/var/task/new.py").touch() or "done")
    tries("link", lambda: os.link(main, "/tmp/main.py") or "done")
    seen = os.open(main, os.O_PATH)
    tries("by descriptor", open_to_write, f"/proc/self/fd/{seen}")
    tries("xattr", lambda: os.setxattr(main, "user.x", b"x") or "done")
    for path in event["code_folders"]:
        tries(path, lambda path=path: os.listdir(path) or "listed")
        tries(path, lambda path=path: pathlib.Path(path, "evil").touch() or "done")
    return tries


def shadow(event, context):
    """Passwords, keys and settings of the host."""
    tries = Tries()
    for way in WAYS_OUT:
        for path in ("/etc/shadow", "/etc/gshadow", "/root/.ssh/id_rsa", "/root/.aws/credentials"):
            tries(way + path, read, way + path)
    return tries


def host_file(event, context):
    """A file of the host that everybody may read and write there."""
    tries = Tries()
    for way in WAYS_OUT:
        tries(way, read, way + event["host_file"])
        tries(way, open_to_write, way + event["host_file"])
    return tries


def links(event, context):
    """Links left in /tmp that lead to files of the host."""
    tries = Tries()
    for number, target in enumerate((event["host_file"], "/etc/shadow", *event["secret_files"])):
        link = f"/tmp/link{number}"
        os.symlink(target, link)
        tries(link, read, link)
        tries(link, open_to_write, link)
        tries(f"hard {link}", lambda t=target, n=number: os.link(t, f"/tmp/hard{n}") or "done")
    return tries


def proc_writes(event, context):
    """Switches of the whole machine."""
    tries = Tries()
    for name in (
        "sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/kernel/hostname",
        "sys/kernel/panic", "sys/kernel/randomize_va_space", "sys/kernel/sysrq",
        "sys/kernel/unprivileged_bpf_disabled", "sys/vm/overcommit_memory", "sys/vm/drop_caches",
        "sys/vm/panic_on_oom", "sys/fs/file-max", "sys/fs/binfmt_misc/register",
        "sys/fs/protected_symlinks", "sys/net/ipv4/ip_forward", "sys/net/core/bpf_jit_enable",
        "sys/user/max_user_namespaces", "irq/default_smp_affinity", "scsi/scsi", "acpi/wakeup",
    ):  # fmt: skip
        tries(name, open_to_write, f"/proc/{name}")
    for name in ("uid_map", "gid_map"):  # these open; what counts is whether root can be put there
        tries(name, lambda name=name: pathlib.Path("/proc/self", name).write_text("0 0 1"))
    return tries


def proc_reads(event, context):
    """What /proc tells of the whole machine and of its processes."""
    tries = Tries()
    for name in ("kcore", "kmsg", "keys", "timer_list", "sched_debug", "slabinfo", "vmallocinfo",
                 "kpagecount", "1/mem"):  # fmt: skip
        tries(name, read, f"/proc/{name}", 1)
    for pid in event["host_pids"]:
        for name in ("environ", "cmdline", "maps", "root", "mem"):
            tries(name, read, f"/proc/{pid}/{name}")
    return tries


def oom_score(event, context):
    """Being the last that the kernel kills."""
    tries = Tries()

    def lower(pid):
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write("-1000")
        return "lowered"

    for pid in ("self", *event["host_pids"]):
        tries(pid, lower, pid)
    return tries


def other_root(event, context):
    """The root of process 1: the same as our own."""
    tries = Tries()

    def differs(path):
        there, here = os.stat(path), os.stat("/")
        same = (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
        return None if same else os.listdir(path)

    for path in ("/proc/1/root", "/proc/1/root/..", "/proc/self/root/../..", "/.."):
        tries(path, differs, path)
    return tries


def sys_writes(event, context):
    """Anything below /sys that opens to write, its own limits first."""
    tries = Tries()
    for folder, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            tries(f"{folder}/{name}", open_to_write, f"{folder}/{name}")
    for name in (
        "fs/cgroup/memory/release_agent", "fs/cgroup/memory/memory.limit_in_bytes",
        "fs/cgroup/memory.max", "fs/cgroup/pids/pids.max", "fs/cgroup/cpu/cpu.cfs_quota_us",
        "kernel/uevent_helper", "kernel/mm/transparent_hugepage/enabled", "power/state",
        "module/kernel/parameters/panic", "kernel/debug/sched", "firmware/efi/efivars",
    ):  # fmt: skip
        tries(name, open_to_write, f"/sys/{name}")
    tries("new cgroup", lambda: os.mkdir("/sys/fs/cgroup/memory/evil") or "made")
    tries.refused = tries.refused[-20:]
    return tries


def devices(event, context):
    """The machine's own devices."""
    tries = Tries()
    for name in ("mem", "kmem", "port", "kmsg", "vda", "sda", "nvme0n1", "fuse", "net/tun", "kvm",
                 "loop-control", "loop0", "mapper/control", "vsock", "vhost-vsock", "userfaultfd",
                 "vfio/vfio", "hwrng", "cpu/0/msr", "tty1", "snapshot"):  # fmt: skip
        tries(name, lambda n=name: os.close(os.open(f"/dev/{n}", os.O_RDONLY)) or "opened")
    for name, mode, number in (("block", 0o060666, (254, 0)), ("mem", 0o020666, (1, 1))):
        device = os.makedev(*number)
        tries(name, lambda n=name, m=mode, d=device: os.mknod(f"/tmp/{n}", m, d) or "made")
    return tries


def self_exe(event, context):
    """Overwriting the program that started us, as was done to runc."""
    tries = Tries()
    for path in ("/proc/self/exe", "/proc/1/exe", "/sbin/docker-init", "/usr/bin/bwrap",
                 "/var/runtime/bootstrap.py", "/usr/bin/python3"):  # fmt: skip
        tries(path, open_to_write, path)
        try:
            seen = os.open(path, os.O_PATH)
        except OSError:
            continue
        tries(f"descriptor of {path}", open_to_write, f"/proc/self/fd/{seen}")
    return tries


def run_folder(event, context):
    """The folder of the executor's socket: call again, take its place."""
    tries = Tries()
    tries("connect", connect_unix, "/run/hearth/socket")

    def take_place():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("/run/hearth/socket")
        return "bound"

    tries("bind", take_place)
    tries("write", lambda: pathlib.Path("/run/hearth/x").touch() or "done")
    tries("rename", lambda: os.rename("/run/hearth", "/run/other") or "done")
    for path in event["state_folders"]:
        tries(path, lambda path=path: os.listdir(path) or "listed")
    return tries


def sockets(event, context):
    """Sockets of the host's services."""
    tries = Tries()
    for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
                 "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/snapd.socket",
                 *event["host_sockets"]):  # fmt: skip
        tries(path, connect_unix, path)
    with open("/proc/net/unix") as table:
        names = {line.split()[-1] for line in table if line.split()[-1].startswith("@")}
    for name in names:
        tries(name, connect_unix, "\0" + name[1:])
    return tries


def setuid_programs(event, context):
    """Programs that make root of whoever starts them, those of the image and one of our own."""
    tries = Tries()

    def run(*command):
        done = subprocess.run(command, capture_output=True, check=False, timeout=5, text=True,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else None

    tries("su", run, "su", "-c", "id -u")
    tries("mount", run, "mount", "-t", "tmpfs", "none", "/tmp")
    tries("umount", run, "umount", "/tmp")
    tries("passwd", run, "passwd", "-d", "root")
    tries("newgrp", run, "newgrp", "root", "-c", "id")
    shutil.copy("/bin/sh", "/tmp/sh")
    os.chmod("/tmp/sh", 0o6755)
    tries("own", lambda: run("/tmp/sh", "-p", "-c", '[ "$(id -u)" = 0 ] && id -u'))
    everything = (0x02000001).to_bytes(4, "little") + b"\xff" * 16
    tries("capability", lambda: os.setxattr("/tmp/sh", "security.capability", everything) or "set")
    return tries


def host_programs(event, context):
    """What is installed on the host tells of it: a gap where sandboxes are shown its /usr."""
    tries = Tries()
    tries("host's /usr", read, event["host_program"], 16)
    return tries


def root_identity(event, context):
    """Becoming somebody else."""
    tries = Tries()
    for name in ("setuid", "setgid", "seteuid", "setegid"):
        tries(name, lambda name=name: getattr(os, name)(0) or "done")
    tries("setgroups", lambda: os.setgroups([0]) or "done")
    tries("setresuid", lambda: os.setresuid(0, 0, 0) or "done")
    tries("setfsuid", lambda: None if LIBC.setfsuid(0) == LIBC.setfsuid(-1) else "changed")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(*([0xFFFFFFFF] * 6))
    tries.system_call("capset", header, wanted)
    return tries


def output_links(event, context):
    """Names in OUTPUT_DIR that lead elsewhere: what they lead to must not be uploaded."""
    folder = os.environ["OUTPUT_DIR"]
    for number, target in enumerate(("/etc/shadow", "/etc/passwd", "/proc/1/environ", "/", "..")):
        os.symlink(target, f"{folder}/link-{number}")
    os.mkfifo(f"{folder}/fifo")
    tries = Tries()
    tries("hard link", os.link, "/etc/passwd", f"{folder}/hard")
    tries("device", os.mknod, f"{folder}/device", 0o600 | 0x2000, os.makedev(1, 8))
    return tries
