"""Attempts to use up what all share: memory, processes, files, processors, patience."""

import ctypes
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time

from tries import LIBC, Tries


LEFT_OUT = (
    "/proc",
    "/sys",
    "/usr/share",
    "/usr/lib",
    "/tmp",
    "/dev/shm",
    "/dev/mqueue",
    "/var/tmp",
    "/mnt/output",
)


def fork_bomb(event, context):
    """Every process makes more, and none listens to polite signals."""
    ignore_signals()
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def thread_bomb(event, context):
    """Threads until none is given."""
    tries, stop, count = Tries(), threading.Event(), 0
    try:
        while count < event["pids_max"] * 2:
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        tries.refused.append(f"thread {count}")
    else:
        tries.got.append(f"{count} threads")
    stop.set()
    return tries


def memory_bomb(event, context):
    hold = []
    while True:
        hold.append(bytearray(os.urandom(1)) * (8 << 20))


def memory_bomb_in_child(event, context):
    """The child dies for it; that the parent only reports a failure must not hide why."""
    source = "hold = []\nwhile True: hold.append(bytearray(b'x') * (8 << 20))"
    subprocess.run([sys.executable, "-S", "-c", source], check=True)


def mapped_memory(event, context):
    """Memory that belongs to no process: an anonymous file."""
    descriptor = os.memfd_create("bomb")
    while True:
        os.write(descriptor, b"x" * (1 << 20))


def shared_memory(event, context):
    """System V segments outlive the process that made them."""
    LIBC.shmat.restype = ctypes.c_void_p
    while True:
        segment = LIBC.shmget(0, 8 << 20, 0o1600)
        ctypes.memset(LIBC.shmat(segment, None, 0), 1, 8 << 20)


def fill(folder, mebibytes_max):
    """Write one file until it is refused."""
    tries, written = Tries(), 0
    with open(f"{folder}/filler", "wb", buffering=0) as file:
        try:
            while written < mebibytes_max:
                written += file.write(b"\0" * (1 << 20)) / (1 << 20)
        except OSError as error:
            tries.refused.append(f"{folder} after {written:.0f} MiB: {error.strerror}")
        else:
            tries.got.append(f"{folder}: {written:.0f} MiB")
    os.unlink(f"{folder}/filler")
    return tries


def fill_tmp(event, context):
    return fill("/tmp", event["tmp_mb"] + 32)


def fill_shm(event, context):
    return fill("/dev/shm", 96)


def fill_output(event, context):
    """Far beyond what may be left there; then wait to be noticed."""
    with open(os.environ["OUTPUT_DIR"] + "/filler", "wb", buffering=0) as file:
        for _ in range(256):
            file.write(b"\0" * (1 << 20))
    time.sleep(30)


def fill_everywhere(event, context):
    """No other folder takes a file: those that do have limits of their own."""
    tries = Tries()
    for folder, names, _ in os.walk("/"):
        names[:] = [n for n in names if os.path.join(folder, n) not in LEFT_OUT]
        path = os.path.join(folder, "filler")
        tries(path, lambda path=path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)) or "made")
    tries.refused = tries.refused[:20]
    return tries


def empty_files(event, context):
    """A million files take no block."""
    tries = Tries()
    try:
        for number in range(1_000_000):
            os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        tries.refused.append(f"file {number}: {error.strerror}")
    else:
        tries.got.append("a million files")
    return tries


def descriptors(event, context):
    """Files until none is given; then the answer must still come."""
    tries, held = Tries(), []
    try:
        while len(held) < 5_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        tries.refused.append(f"file {len(held)}: {error.strerror}")
    else:
        tries.got.append("5000 files")
    for descriptor in held:
        os.close(descriptor)
    return tries


def message_queues(event, context):
    """POSIX queues lie in the kernel's memory."""
    tries, made = Tries(), 0
    while made < 2_000:
        if LIBC.mq_open(f"/q{made}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None) < 0:
            tries.refused.append(f"queue {made}: {os.strerror(ctypes.get_errno())}")
            break
        made += 1
    else:
        tries.got.append("2000 queues")
    return tries


def hold_inotify(event, context):
    """Every instance that one user may have, held on after the answer."""
    held = globals().setdefault("held", [])
    while len(held) < 1_000:
        instance = LIBC.inotify_init()
        if instance < 0:
            return {"got": [], "refused": [f"instance {len(held)}"]}
        held.append(instance)
    return {"got": ["1000 instances"], "refused": []}


def one_inotify(event, context):
    """As any function might, to watch a file."""
    instance = LIBC.inotify_init()
    if instance < 0:
        raise OSError(ctypes.get_errno(), "inotify_init")
    os.close(instance)
    return "got one"


def pending_signals(event, context):
    """Queued signals are counted by user."""
    tries, made = Tries(), 0
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    LIBC.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    while made < 200_000:
        if LIBC.sigqueue(os.getpid(), signal.SIGRTMIN, None) < 0:
            tries.refused.append(f"signal {made}")
            break
        made += 1
    else:
        tries.got.append("200000 signals")
    return tries


def zombies(event, context):
    """Orphans that end: somebody must take them off the table."""
    for _ in range(event["pids_max"] // 2):
        if (child := os.fork()) == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.waitpid(child, 0)
    deadline = time.monotonic() + 5
    while (left := count_zombies()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return {"got": left, "refused": ["nothing: this is about what is left"]}


def count_zombies():
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    found.append(name)
        except OSError:
            continue
    return found


def daemons(event, context):
    """Processes that want to outlive the sandbox: new sessions, deaf, their environment gone."""
    for _ in range(5):
        if (child := os.fork()) == 0:
            os.setsid()
            if os.fork() == 0:
                ignore_signals()
                os.execve("/bin/sleep", ["kworker/0:1", "1000"], {})
            os._exit(0)
        os.waitpid(child, 0)
    return "answered"


def signals_to_all(event, context):
    """To process 1 and to every process there is."""
    tries = Tries()
    for number in (signal.SIGKILL, signal.SIGSTOP):
        os.kill(1, number)
        time.sleep(0.05)
        tries("process 1", lambda: None if os.path.exists("/proc/1/stat") else "gone")
    tries("everybody", lambda: os.kill(-1, signal.SIGKILL))
    return tries


def stop_itself(event, context):
    os.kill(os.getpid(), signal.SIGSTOP)


def deaf_and_endless(event, context):
    """Ignores every signal that can be ignored, in a loop that no exception leaves."""
    ignore_signals()
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            continue


def burn(event, context):
    while True:
        pass


def burn_after_answer(event, context):
    """Children that go on computing while nobody calls."""
    for _ in range(4):
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], start_new_session=True)
    return "answered"


def flood_stdout(event, context):
    while True:
        os.write(1, b"a line of output that nobody wants to read\n" * 1_000)


def flood_stderr(event, context):
    """Without a newline, and with the characters that grow most in JSON."""
    while True:
        os.write(2, b"\x01\xff\x1b" * 20_000)


def dump_core(event, context):
    os.chdir("/tmp")
    os.abort()


def crash(event, context):
    ctypes.string_at(8)


def leave(event, context):
    os._exit(0)


def unmap_everything(event, context):
    """Address space alone costs nothing; that it is there must not be taken for use."""
    hold = [mmap.mmap(-1, 1 << 30) for _ in range(64)]
    return len(hold)


def many_polls(event, context):
    """Watching many files in the kernel."""
    polls = [select.epoll() for _ in range(20)]
    ends = [os.pipe() for _ in range(200)]
    for poll in polls:
        for reader, _ in ends:
            poll.register(reader)
    return len(polls) * len(ends)
