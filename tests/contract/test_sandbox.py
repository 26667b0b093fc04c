"""What every kind of sandbox promises; the fake keeps all of it but isolation."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.cgroups import read_cgroups
from executor.sandbox import Exit, Sandbox, SandboxError, SandboxSpec
from shared.events import Accuracy, Limits, Runtime
from tests.contract.sandboxes import (
    KINDS,
    REAL_KINDS,
    ClosableFactory,
    Dialogue,
    leftovers_of_state,
    make_code,
    make_factory,
    make_files,
    make_spec,
    need_kind,
    started,
)

PYTHON = '''
import json, os, subprocess, sys, tempfile, time
calls = 0

def handler(event, context):
    """Do what the event says."""
    global calls
    calls += 1
    what, *more = event if isinstance(event, list) else [event]
    return globals()["do_" + what](context, *more) if what else calls

def do_context(context):
    return [context.function_name, context.memory_limit_in_mb, context.aws_request_id,
            context.attempt, os.environ["HEARTH_ATTEMPT"],
            0 < context.get_remaining_time_in_millis() <= 5000]

def do_env(context):
    return dict(os.environ)

def do_fill(context, mebibytes):
    return len(bytearray(os.urandom(1)) * (mebibytes << 20))

def do_exit(context, status):
    os._exit(status)

def do_say(context):
    print("from python")
    print("to stderr", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)

def do_write(context):
    refused = []
    for path in ("/var/task/x", "/var/runtime/x", "/run/hearth/x", "/usr/x", "/etc/x", "/x"):
        try:
            open(path, "w").close()
        except OSError:
            refused.append(path)
    with open("/tmp/x", "w") as file:
        file.write("ok")
    return refused

def do_status(context):
    lines = open("/proc/self/status").read().splitlines()
    return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)

def do_fork(context):
    if os.fork() == 0:
        return "child"
    os.wait()
    return "parent"

def do_leave_child(context):
    return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid

def do_echo(context, value):
    return value

def do_burn(context, ms):
    end = time.process_time() + ms / 1000
    while time.process_time() < end: pass
'''

NODEJS = """
const { spawn, spawnSync } = require("child_process");
const fs = require("fs");
let calls = 0;

exports.handler = async (event, context) => {
  calls += 1;
  const [what, ...more] = Array.isArray(event) ? event : [event];
  return what ? does[what](context, ...more) : calls;
};

const does = {
  context: (context) => [
    context.functionName, context.memoryLimitInMB, context.awsRequestId,
    context.attempt, process.env.HEARTH_ATTEMPT,
    0 < context.getRemainingTimeInMillis() && context.getRemainingTimeInMillis() <= 5000,
  ],
  env: () => ({ ...process.env }),
  fill: (context, mebibytes) => Buffer.alloc(mebibytes * 2 ** 20, 1).length,
  exit: (context, status) => process.reallyExit(status),
  say: () => {
    console.log("from %s", "nodejs");
    console.error("to stderr");
    spawnSync("echo", ["from a child"], { stdio: "inherit" });
  },
  write: () => {
    const places = ["/var/task/x", "/var/runtime/x", "/run/hearth/x", "/usr/x", "/etc/x", "/x"];
    fs.writeFileSync("/tmp/x", "ok");
    return places.filter((path) => {
      try { fs.writeFileSync(path, ""); return false; } catch { return true; }
    });
  },
  status: () => {
    const lines = fs.readFileSync("/proc/self/status", "utf8").split("\\n");
    return Object.fromEntries(lines.map((line) => line.split(":\\t", 2)));
  },
  leave_child: () => spawn("sleep", ["1000"], { detached: true }).pid,
  echo: (context, value) => value,
  burn: (context, ms) => {
    const before = process.cpuUsage();
    for (let used = 0; used < ms * 1000; ) {
      const { user, system } = process.cpuUsage(before);
      used = user + system;
    }
  },
};
"""
SOURCES = {Runtime.PYTHON: {"main.py": PYTHON}, Runtime.NODEJS: {"index.js": NODEJS}}


@pytest.fixture(scope="module", params=KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    for runtime in SOURCES:
        need_kind(request.param, runtime)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture(scope="module", params=REAL_KINDS)
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    """Without the fake, which isolates and limits nothing."""
    for runtime in SOURCES:
        need_kind(request.param, runtime)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture(params=SOURCES)
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxSpec:
    """The same function in every language."""
    code = make_files(tmp_path / "code", SOURCES[request.param])
    return make_spec(code, runtime=request.param)


def ask(dialogue: Dialogue, *what: object) -> object:
    return json.loads(dialogue.output(json.dumps(what).encode()))


def test_warm_state(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The second call meets the module as the first one left it."""
    with started(factory, spec) as dialogue:
        assert {} == dialogue.init()
        assert [b"1", b"2"] == [dialogue.output(), dialogue.output()]


def test_context_and_environment(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The handler is told what Lambda's would be, and the sender's variables do not win over it."""
    with started(factory, spec) as dialogue:
        dialogue.init(env={"GREETING": "안녕", "_HANDLER": "other"})

        context = json.loads(dialogue.output(b'["context"]', id="r-1", attempt=2, memory_mb=256))
        env = ask(dialogue, "env")

        assert ["f", "256", "r-1", 2, "2", True] == context
        assert isinstance(env, dict)
        assert ("안녕", spec.handler, "f") == (
            env["GREETING"],
            env["_HANDLER"],
            env["AWS_LAMBDA_FUNCTION_NAME"],
        )
        assert not {"SQS_QUEUE_URL", "PYTEST_CURRENT_TEST"} & set(env)


def test_crash_is_described(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """A process that leaves is told from one that ran out of memory."""
    with started(factory, spec) as dialogue:
        dialogue.init()

        assert dialogue.call(b'["exit", 3]') is None
        expected = Exit(out_of_memory=False, reason="exit status 3")
        assert expected == dialogue.sandbox.describe_exit()


def test_logs_are_captured(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """What is written before the answer, by children too, is there when the answer is."""
    with started(factory, spec) as dialogue:
        dialogue.init()
        dialogue.output(b'["say"]')

        assert f"from {spec.runtime}\nto stderr\nfrom a child\n" == dialogue.logs()


def test_fork_cannot_answer(factory: ClosableFactory, tmp_path: Path) -> None:
    """A forked child that returns from the handler does not answer in its parent's name."""
    code = make_code(tmp_path / "code", main=PYTHON)
    with started(factory, make_spec(code)) as dialogue:
        dialogue.init()

        assert "parent" == ask(dialogue, "fork")
        assert b"2" == dialogue.output()


def test_large_input_and_output(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Six mebibytes go in and come out whole."""
    value = json.dumps("é" * (3 * 1024 * 1024), ensure_ascii=False).encode()
    with started(factory, spec) as dialogue:
        dialogue.init()

        assert value == dialogue.output(b'["echo",%b]' % value)


def test_out_of_memory(real: ClosableFactory, spec: SandboxSpec) -> None:
    """Running out of memory is told apart, and only the sandbox pays for it."""
    with started(real, replace(spec, limits=Limits(memory_mb=128, timeout_ms=5_000))) as dialogue:
        dialogue.init()

        assert dialogue.call(b'["fill", 300]') is None
        assert Exit(True, "signal: killed") == dialogue.sandbox.describe_exit()


def test_memory_peak_is_each_call_its_own(real: ClosableFactory, spec: SandboxSpec) -> None:
    """A small call after a large one reports a small peak."""
    with started(real, spec) as dialogue:
        dialogue.init()
        meter = dialogue.sandbox.meter
        if meter.source != "cgroup1":
            pytest.skip("this test reads the files of cgroup v1")

        peaks = []
        for mebibytes in (200, 5):
            meter.before()
            ask(dialogue, "fill", mebibytes)
            peaks.append(int(meter.after()["memory.max_usage_in_bytes"]) / (1 << 20))

        assert Accuracy.EXACT == meter.accuracy
        assert peaks[0] > 200
        assert 5 < peaks[1] < 40


def test_cpu_quota_throttles(real: ClosableFactory, spec: SandboxSpec) -> None:
    """A quota set through the meter holds at once."""
    with started(real, spec) as dialogue:
        dialogue.init()
        assert dialogue.sandbox.meter.limit_cpu(4_000, 20_000)
        began = time.monotonic()
        ask(dialogue, "burn", 50)

        assert time.monotonic() - began > 0.15  # a fifth of a CPU: 0.25 seconds


def test_isolation(real: ClosableFactory, spec: SandboxSpec) -> None:
    """Not root, no capabilities, no new privileges, own network.

    Only /tmp and OUTPUT_DIR can be written.
    """
    with started(real, spec) as dialogue:
        dialogue.init()
        status = ask(dialogue, "status")
        assert isinstance(status, dict)
        outside = Path(f"/proc/{dialogue.pid()}/status").read_text()

        assert "65501" == status["Uid"].split()[0]
        assert "0000000000000000" == status["CapEff"] == status["CapBnd"]
        assert "1" == status["NoNewPrivs"]
        assert "Uid:\t65501\t" in outside
        assert "net/dev" in dialogue.sandbox.meter.before()
        expected = ["/var/task/x", "/var/runtime/x", "/run/hearth/x", "/usr/x", "/etc/x", "/x"]
        assert expected == ask(dialogue, "write")


def test_nothing_is_left(factory: ClosableFactory, spec: SandboxSpec, tmp_path: Path) -> None:
    """After destroy neither process, cgroup nor folder is there, frozen or not."""
    state_dir = tmp_path / "state"
    own = make_factory(factory.kind, state_dir)
    sandbox: Sandbox = own.start(spec)
    dialogue = Dialogue(sandbox)
    dialogue.init()
    if factory.kind in REAL_KINDS:
        ask(dialogue, "leave_child")
    pid = dialogue.pid()
    mine = set(read_cgroups(os.getpid()).values())
    cgroups = set(read_cgroups(pid).values()) - mine
    assert bool(cgroups) == (factory.kind in REAL_KINDS)
    sandbox.meter.freeze()

    sandbox.destroy()
    sandbox.destroy()
    own.close()

    assert not Path(f"/proc/{pid}").exists()
    assert [] == [str(folder) for folder in cgroups if folder.exists()]
    assert [] == leftovers_of_state(state_dir)


def test_start_fails_cleanly(real: ClosableFactory, spec: SandboxSpec, tmp_path: Path) -> None:
    """A sandbox that cannot start leaves nothing and says why."""
    state_dir = tmp_path / "state"
    own = make_factory(real.kind, state_dir)

    with pytest.raises(SandboxError, match="did not start"):
        own.start(replace(spec, limits=Limits(memory_mb=1, timeout_ms=5_000)))

    own.close()
    assert [] == leftovers_of_state(state_dir)


def test_awkward_state_folder(real: ClosableFactory, tmp_path: Path) -> None:
    """Longer than a socket's address may be, with blanks and commas, and closed to other users."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    deep = private / ("a, b:c " * 12) / ("x" * 100)
    own = make_factory(real.kind, deep)
    code = make_code(private / "co de", main="def handler(event, context): return 1")

    with started(own, make_spec(code)) as dialogue:
        assert {} == dialogue.init()
        assert b"1" == dialogue.output()

    own.close()


def test_many_descriptors_are_no_obstacle(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Sixty sandboxes hold more descriptors than `select` knows."""
    held = [os.dup(0) for _ in range(1_100)]
    try:
        with started(factory, spec) as dialogue:
            dialogue.init()
            assert b"1" == dialogue.output()
            dialogue.sandbox.meter.freeze()
    finally:
        for descriptor in held:
            os.close(descriptor)
