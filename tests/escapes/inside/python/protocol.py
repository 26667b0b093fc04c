"""Attempts on the executor itself: what a function may write to the sockets it was left."""

import array
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

HEADER = struct.Struct(">cII")


def find_control():
    """The descriptor of the control socket: the one that is a socket and not the log."""
    logs = os.fstat(1).st_ino
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            is_socket = os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
            if is_socket and os.fstat(int(name)).st_ino != logs:
                return int(name)
        except OSError:
            continue
    raise RuntimeError("no control socket was found")


def encode(kind, head, body=b""):
    packed = head if isinstance(head, bytes) else json.dumps(head).encode()
    return HEADER.pack(kind, len(packed), len(body)) + packed + body


def send(data):
    """All of it, or until the other side hangs up."""
    descriptor = find_control()
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def wait():
    """The executor must end this."""
    time.sleep(600)


def at_init(name):
    """Before READY: `answer`, `ready_twice` or `hello`."""
    frame = {
        "answer": encode(b"A", {"id": os.environ.get("FORGED_ID", "x")}, b"1"),
        "ready_twice": encode(b"R", {}),
        "hello": encode(b"H", {"pid": 1, "runtime": "python3.11"}),
    }[name]
    send(frame)


def nothing(event, context):
    """What happens happened at init."""
    return "answered"


def other_id(event, context):
    """An answer in another request's name."""
    send(encode(b"A", {"id": event["other_id"]}, b'"forged"'))
    wait()


def two_answers(event, context):
    """The first one counts; the second one belongs to no call."""
    send(encode(b"A", {"id": context.aws_request_id}, b'"first"'))
    return "second"


def ready_again(event, context):
    send(encode(b"R", {}))
    wait()


def hello_again(event, context):
    send(encode(b"H", {"pid": 1, "runtime": "python3.11"}))
    wait()


def call_of_its_own(event, context):
    """A kind of frame that only the executor sends."""
    send(encode(b"C", {"id": context.aws_request_id}))
    wait()


def unknown_kind(event, context):
    send(encode(b"Z", {"id": context.aws_request_id}))
    wait()


def gigantic_body(event, context):
    send(HEADER.pack(b"A", 2, 0xFFFFFFFF) + b"{}")
    wait()


def gigantic_head(event, context):
    send(HEADER.pack(b"A", 0xFFFFFFFF, 0) + b"{" * 65536)
    wait()


def malformed_head(event, context):
    send(encode(b"A", b"\xff\xfe{]"))
    wait()


def head_of_wrong_types(event, context):
    send(encode(b"A", {"id": 5, "failure": "no", "leaving": {}}))
    wait()


def deep_head(event, context):
    send(encode(b"A", b'{"id":' + b"[" * 60_000))
    wait()


def deep_answer(event, context):
    send(encode(b"A", {"id": context.aws_request_id}, b"[" * 5_000_000))
    wait()


def answer_that_is_no_json(event, context):
    send(encode(b"A", {"id": context.aws_request_id}, b'{"a": \xff\xfe'))
    wait()


def endless_frames(event, context):
    frame = encode(b"H", {"pid": 1}) * 100
    while True:
        send(frame)


def endless_trickle(event, context):
    """A frame that never ends, a byte at a time."""
    send(HEADER.pack(b"A", 60_000, 0))
    while True:
        send(b" ")
        time.sleep(0.01)


def two_gigabytes(event, context):
    """As the body of one answer after another, each as large as is agreed."""
    body = b'"' + b"x" * (6 * 1024 * 1024) + b'"'
    send(encode(b"A", {"id": context.aws_request_id}, body))
    for _ in range(350):
        send(body)


def large_answer(event, context):
    """More than is agreed, by the honest way."""
    return "x" * (7 * 1024 * 1024)


def fake_exit(event, context):
    """A failure made to look like the platform's; that the function says so stays visible."""
    failure = {"type": "Sandbox.OutOfMemory", "message": "forged", "stack": ["x"] * 9}
    send(encode(b"A", {"id": context.aws_request_id, "failure": failure, "leaving": True}))
    wait()


def gigantic_failure(event, context):
    """As large a failure as a head can hold, full of characters that JSON makes six of."""
    raise type("E" * 10_000, (Exception,), {})("\x01" * 60_000)


def close_control(event, context):
    os.close(find_control())
    wait()


def shutdown_logs(event, context):
    socket.socket(fileno=os.dup(1)).shutdown(socket.SHUT_RDWR)
    return "answered"


def descriptors_sent_along(event, context):
    """Descriptors sent with the answer must not pile up in the executor."""
    sender = socket.socket(fileno=os.dup(find_control()))
    given = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(200)])
    data = encode(b"A", {"id": context.aws_request_id}, b'"answered"')
    sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)])
    wait()


def late_frames(event, context):
    """A child keeps the socket and answers when nobody asked."""
    control = find_control()
    frame = encode(b"A", {"id": context.aws_request_id}, b'"late"')
    source = f"import os, time; time.sleep(0.3); os.write({control}, {frame!r}); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", source], pass_fds=[control], start_new_session=True)
    return "answered"


def flood_after_answer(event, context):
    """A thread that goes on writing while nobody calls."""

    def flood():
        while True:
            os.write(1, b"after the answer\n" * 4_000)

    threading.Thread(target=flood, daemon=True).start()
    return "answered"
