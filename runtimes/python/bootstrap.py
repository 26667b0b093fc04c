"""The resident program of a Python sandbox: loads the function once, then answers calls.

Not here: isolation, limits, time-outs and measuring; the executor does these from outside.

    bootstrap.py [socket path] [task root]

It connects to the executor's socket twice: the first connection carries frames (`>cII`, JSON head,
raw body), the second is what the function writes to stdout and stderr. It runs as
`python3 -I -S`, which saves a quarter of the start, and imports only what nearly every function
imports too: `json`. `_socket` instead of `socket` saves two milliseconds more. One file, because
nothing of it can be cached as bytecode where it runs.
"""
# ruff: noqa: D102, D103, PTH123, PTH208, SIM105 - pathlib and contextlib cost milliseconds

import _socket
import builtins
import json
import os
import struct
import sys
import time

OUTPUT_BYTES_MAX = 6 * 1024 * 1024 + 100  # Lambda's
HEAD_BYTES_MAX = 64 * 1024
RECEIVE_BYTES = 64 * 1024  # so that an ordinary call is one system call
MESSAGE_LENGTH_MAX = 4_096
STACK_LENGTH_MAX = 8_192
STACK_FRAMES_MAX = 40
EXIT_STATUS_OF_FAILURE = 1
HEADER = struct.Struct(">cII")


def encode_odd(value):
    """Decimals as numbers, as on Lambda: DynamoDB's client hands out nothing else."""
    if type(value).__module__ == "decimal" and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")


encode_json = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=encode_odd
).encode


# Where files come in and go out: the same for every call, and no sender may tell otherwise.
PLACES = {name: os.environ[name] for name in ("INPUT_FILE", "OUTPUT_DIR") if name in os.environ}


class Channel:
    """Frames to and from the executor, one system call each where they are small."""

    def __init__(self, address):
        self.socket = connect(address)
        self.unread = b""

    def receive(self):
        """The next frame: kind, head, body. Leaves the process when the executor hung up."""
        received = self.unread
        while len(received) < HEADER.size:
            received += self.receive_some(RECEIVE_BYTES)
        kind, head_length, body_length = HEADER.unpack_from(received)
        body_at = HEADER.size + head_length
        end = body_at + body_length
        if len(received) < end:
            received = self.receive_until(bytearray(received), end)
        self.unread = bytes(received[end:])
        return kind, json.loads(received[HEADER.size : body_at]), received[body_at:end]

    def receive_until(self, received, end):
        while len(received) < end:
            received += self.receive_some(max(RECEIVE_BYTES, end - len(received)))
        return received

    def receive_some(self, limit):
        some = self.socket.recv(limit)
        if not some:
            os._exit(0)
        return some

    def send(self, kind, head, body=b""):
        encoded = encode_json(head).encode("utf-8", "replace")
        if len(encoded) > HEAD_BYTES_MAX:
            head["failure"].update(stack=[], message=head["failure"]["message"][:1024])
            encoded = encode_json(head).encode("utf-8", "replace")
        self.socket.sendall(HEADER.pack(kind, len(encoded), len(body)) + encoded + body)


class Failed(Exception):  # noqa: N818 - caught everywhere, an ending and no error
    """The function failed; `failure` is what its sender reads."""

    def __init__(self, type_name, message, stack=(), exit_status=None):
        self.failure = {
            "type": type_name[:256],
            "message": message[:MESSAGE_LENGTH_MAX],
            "stack": list(stack),
        }
        self.exit_status = exit_status


class Identity:
    """Who called; always empty here."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Context:
    """What Lambda calls the context object, the attempt, and where files are."""

    client_context = None
    identity = Identity()
    output_dir = PLACES.get("OUTPUT_DIR")

    def __init__(self, function, call):
        self.function_name = function["function_id"]
        self.function_version = "$LATEST"
        self.invoked_function_arn = function["arn"]
        self.memory_limit_in_mb = str(call.get("memory_mb", function["memory_mb"]))
        self.log_group_name = function["log_group"]
        self.log_stream_name = function["log_stream"]
        self.aws_request_id = call["id"]
        self.attempt = call.get("attempt", 1)
        self.input_path = call.get("input_path")
        self.input_bytes = call.get("input_bytes")
        self._deadline_ms = call.get("deadline_ms", 0)

    def get_remaining_time_in_millis(self):
        """Milliseconds until the executor gives up on this call."""
        return max(int(self._deadline_ms - time.time() * 1000), 0)

    def log(self, message):
        """Write to the log of this invocation."""
        sys.stdout.write(str(message))


def connect(address):
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(address)
    return connection


def capture_output(address):
    """Everything written to descriptors 1 and 2, by children and C code too, goes to the log."""
    logs = connect(address)
    logs.sendall(b"L")
    os.dup2(logs.fileno(), 1)
    os.dup2(logs.fileno(), 2)
    sys.stdout = sys.__stdout__ = open_text(1)
    sys.stderr = sys.__stderr__ = open_text(2)


def open_text(descriptor):
    """New objects: the old ones remember whether what they were opened on could seek."""
    return open(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


def describe_function(init):
    """The parts of a context that stay the same from call to call."""
    name = init.get("function_id", "")
    region = init.get("region", "us-east-1")
    return {
        "function_id": name,
        "memory_mb": init.get("memory_mb", 128),
        "region": region,
        "arn": f"arn:aws:lambda:{region}:{init.get('account_id', '0' * 12)}:function:{name}",
        "log_group": f"/aws/lambda/{name}",
        "log_stream": init.get("sandbox_id", ""),
    }


def set_environment(init, function, task_root):
    """The sender's variables first: what the platform says wins."""
    given = init.get("env", {})
    platform = {
        "_HANDLER": init["handler"],
        "AWS_REGION": function["region"],
        "AWS_DEFAULT_REGION": function["region"],
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": function["function_id"],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["memory_mb"]),
        "AWS_LAMBDA_LOG_GROUP_NAME": function["log_group"],
        "AWS_LAMBDA_LOG_STREAM_NAME": function["log_stream"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "LAMBDA_TASK_ROOT": task_root,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        **PLACES,
    }
    for name, value in {"TZ": ":UTC", **given, **platform}.items():
        try:
            os.environ[name] = value
        except (TypeError, ValueError) as error:
            message = f"envVars holds {name!r}, which no process can be given: {error}"
            raise Failed("Runtime.InvalidEnvironment", message) from error
    time.tzset()


def load_handler(name, task_root):
    """The callable that `name` ("main.handler", "pkg/mod.fn") stands for."""
    module_name, dot, function_name = name.rpartition(".")
    module_name = module_name.replace("/", ".")
    if not (dot and module_name and function_name) or module_name.startswith("."):
        message = f"Bad handler '{name}': write it as file.function, for example main.handler"
        raise Failed("Runtime.MalformedHandlerName", message)
    if module_name in sys.modules:
        message = (
            f"Cannot use the built-in module '{module_name}' as the handler's module. "
            "Rename the file and set handler to its new name"
        )
        raise Failed("Runtime.BuiltInModuleConflict", message)
    module = import_module(module_name, task_root)
    handler = getattr(module, function_name, None)
    if callable(handler):
        return handler
    defined = sorted(key for key, value in vars(module).items() if is_candidate(key, value))
    message = (
        f"Handler '{function_name}' missing on module '{module_name}'; "
        f"it defines: {', '.join(defined) or 'no function'}. "
        f"Define {function_name}(event, context) or set handler to one that exists"
    )
    raise Failed("Runtime.HandlerNotFound", message)


def is_candidate(name, value):
    return callable(value) and not isinstance(value, type) and not name.startswith("_")


def import_module(name, task_root):
    try:
        __import__(name)
    except ImportError as error:
        advice = advise_on_import(name, error, task_root)
        message = f"Unable to import module '{name}': {error}. {advice}"
        raise Failed("Runtime.ImportModuleError", message, user_stack(error)) from error
    except SyntaxError as error:
        where = f"{error.filename}, line {error.lineno}"
        message = f"Syntax error in module '{name}': {error.msg} ({where})"
        raise Failed("Runtime.UserCodeSyntaxError", message, user_stack(error)) from error
    except BaseException as error:
        raise failed_with(error) from error
    return sys.modules[name]


def advise_on_import(name, error, task_root):
    missing = error.name or ""
    if not isinstance(error, ModuleNotFoundError):
        return "Check that the archive was built for Linux and for this Python version"
    if name == missing or name.startswith(missing + "."):
        held = ", ".join(sorted(os.listdir(task_root))[:20])
        path = missing.replace(".", "/")
        return (
            f"Put {path}.py into the archive, counted from its root, or set handler; "
            f"the archive holds: {held or 'nothing'}"
        )
    return f"Add it to the archive: pip install --target <folder of the archive> {missing}"


def failed_with(error):
    """What an exception of the function means; anything but an Exception ends this process."""
    if isinstance(error, SystemExit):
        message = (
            f"The function left the process with sys.exit({error.code!r}). "
            "Return a value or raise an exception instead"
        )
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return Failed("Runtime.ExitError", message, user_stack(error), status & 0xFF)
    if not isinstance(error, Exception):
        message = f"The function ended with {type(error).__name__}: {text_of(error)}"
        return Failed("Runtime.ExitError", message, user_stack(error), EXIT_STATUS_OF_FAILURE)
    return Failed(type(error).__name__, text_of(error), user_stack(error))


def text_of(error):
    try:
        return str(error)
    except Exception as second:
        return f"(its message cannot be read: {type(second).__name__})"


def user_stack(error):
    """Lines as Lambda prints them, innermost last, without frames of this file and of imports."""
    frames = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename != __file__ and not code.co_filename.startswith("<frozen importlib"):
            frames.append((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    lines = [format_frame(*frame) for frame in frames[-STACK_FRAMES_MAX:]]
    while sum(map(len, lines)) > STACK_LENGTH_MAX:
        lines.pop(0)
    return lines


def format_frame(path, line_number, function_name):
    """By hand: `traceback` costs milliseconds, and a file of the function could shadow it."""
    place = f'  File "{path}", line {line_number}, in {function_name}\n'
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            for number, line in enumerate(source, 1):
                if number == line_number:
                    return f"{place}    {line.strip()[:256]}\n"
    except OSError:
        pass  # compiled or generated code: the place alone is what there is
    return place


def run(handler, event_json, context):
    """The output as JSON bytes; raises Failed."""
    try:
        event = json.loads(event_json)
    except ValueError as error:
        raise Failed("Runtime.UnmarshalError", f"The input is not JSON: {error}") from error
    try:
        result = handler(event, context)
    except BaseException as error:
        raise failed_with(error) from error
    return marshal(result)


def marshal(result):
    try:
        output = encode_json(result).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = (
            f"The result is not JSON: {text_of(error)}. "
            "Return only dict, list, str, bool, None and finite numbers"
        )
        raise Failed("Runtime.MarshalError", message) from error
    except Exception as error:  # a class of the function, say a dict whose items() raises
        raise failed_with(error) from error
    if len(output) > OUTPUT_BYTES_MAX:
        message = (
            f"Response payload size ({len(output)} bytes) exceeded maximum allowed payload size "
            f"({OUTPUT_BYTES_MAX} bytes). Write large results to S3 and return where they are"
        )
        raise Failed("Function.ResponseSizeTooLarge", message)
    return output


def flush_output():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the function replaced or closed it; that is its affair


def report(channel, kind, head, failed):
    """Tell why there is no output; leave where the function meant to leave."""
    flush_output()
    channel.send(kind, {**head, "failure": failed.failure})
    if failed.exit_status is not None:
        os._exit(failed.exit_status)


def init(channel, head, task_root):
    """Load the function; the handler, or one that tells the failure again."""
    function = describe_function(head)
    try:
        set_environment(head, function, task_root)
        handler = load_handler(head["handler"], task_root)
    except Failed as failed:
        report(channel, b"R", {}, failed)
        return function, None
    flush_output()
    channel.send(b"R", {})
    return function, handler


def call(channel, head, body, function, handler):
    attempt = str(head.get("attempt", 1))
    if os.environ.get("HEARTH_ATTEMPT") != attempt:
        os.environ["HEARTH_ATTEMPT"] = attempt
    try:
        output = run(handler, body, Context(function, head))
    except Failed as failed:
        report(channel, b"A", {"id": head["id"]}, failed)
        return
    flush_output()
    channel.send(b"A", {"id": head["id"]}, output)


def serve(channel, task_root):
    function = handler = None
    while True:
        kind, head, body = channel.receive()
        if kind == b"I":
            function, handler = init(channel, head, task_root)
        elif kind == b"C" and handler is not None:
            call(channel, head, body, function, handler)
        else:
            sys.stderr.write(f"bootstrap: frame {kind!r} out of order\n")
            os._exit(EXIT_STATUS_OF_FAILURE)


def main():
    address, task_root = sys.argv[1:3] or ("/run/hearth/socket", "/var/task")
    builtins.exit = builtins.quit = sys.exit  # `site`, which -S leaves out, brings them
    channel = Channel(address)
    hello = {"pid": os.getpid(), "runtime": f"python3.{sys.version_info[1]}"}
    head = encode_json(hello).encode()
    channel.socket.sendall(b"C" + HEADER.pack(b"H", len(head), 0) + head)
    capture_output(address)
    # A child that the function forks must not answer in its parent's name.
    os.register_at_fork(after_in_child=channel.socket.close)
    sys.path[:0] = [task_root, *filter(os.path.isdir, ["/opt/python"])]
    os.chdir(task_root)
    sys.argv = [task_root]
    serve(channel, task_root)


if __name__ == "__main__":
    main()
