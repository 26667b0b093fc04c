"""What the Node.js bootstrap does with each way to write and to end a function.

On the host's Node.js (the fake) and on that of the image, which may be another version.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.frames import CALL, encode
from executor.sandbox import Exit
from shared.events import Runtime
from tests.contract.sandboxes import (
    ClosableFactory,
    Dialogue,
    make_factory,
    make_files,
    make_spec,
    need_kind,
    started,
)


@pytest.fixture(scope="module", params=["process", "docker"])
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    need_kind(request.param, Runtime.NODEJS)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture
def dialogue(
    request: pytest.FixtureRequest, factory: ClosableFactory, tmp_path: Path
) -> Iterator[Dialogue]:
    """A sandbox whose files, or index.js, are the test's parameter."""
    files = {"index.js": request.param} if isinstance(request.param, str) else request.param
    code = make_files(tmp_path / "code", files)
    with started(factory, make_spec(code, runtime=Runtime.NODEJS)) as dialogue:
        yield dialogue


def with_index(source: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("dialogue", [source], indirect=True, ids=[""])


def async_handler(body: str) -> str:
    return f"exports.handler = async (event, context) => {{ {body} }};"


def callback_handler(body: str) -> str:
    return f"exports.handler = (event, context, callback) => {{ {body} }};"


ES_MODULE = "import fs from 'fs'; export const handler = async () => typeof fs.readFileSync;"
LOADABLE: dict[str, tuple[dict[str, str], str, bytes]] = {
    "commonjs": ({"index.js": async_handler("return 1")}, "index.handler", b"1"),
    "cjs": ({"index.cjs": async_handler("return 1")}, "index.handler", b"1"),
    "mjs": ({"index.mjs": ES_MODULE}, "index.handler", b'"function"'),
    "type_module": (
        {"index.js": ES_MODULE, "package.json": '{"type": "module"}'},
        "index.handler",
        b'"function"',
    ),
    "type_of_a_folder": (
        {"package.json": '{"type": "module"}', "a/package.json": "{}", "a/b.js": "exports.c=()=>2"},
        "a/b.c",
        b"2",
    ),
    "top_level_await": (
        {"index.mjs": "const x = await new Promise(r => setTimeout(r, 5, 7));"
                      "export const handler = () => x"},
        "index.handler",
        b"7",
    ),
    "folder": ({"dir/file.js": "exports.fn = () => 3"}, "dir/file.fn", b"3"),
    "folder_with_index": ({"app/index.js": "exports.fn = () => 4"}, "app.fn", b"4"),
    "nested": ({"index.js": "exports.api = {get: () => 5}"}, "index.api.get", b"5"),
    "dependency": (
        {"index.js": "exports.handler = () => require('dep')", "node_modules/dep/index.js":
         "module.exports = 'dep'"},
        "index.handler",
        b'"dep"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialogue", "name", "output"), LOADABLE.values(), ids=LOADABLE, indirect=["dialogue"]
)
def test_loading(dialogue: Dialogue, name: str, output: bytes) -> None:
    """Both kinds of modules, and every spelling of a handler that Lambda takes."""
    assert {} == dialogue.init(name)
    assert output == dialogue.output()


INIT_FAILURES: dict[str, tuple[str | dict[str, str], str, str, str]] = {
    "no_such_file": (
        "",
        "app.handler",
        "Runtime.ImportModuleError",
        "into the archive, counted from its root, or set handler; the archive holds: index.js",
    ),
    "import_package": (
        "require('left-pad-of-nobody')",
        "index.run",
        "Runtime.ImportModuleError",
        "Cannot find module 'left-pad-of-nobody'. Add it to the archive: npm install left-pad",
    ),
    "import_package_esm": (
        {"index.mjs": "import x from 'left-pad-of-nobody'"},
        "index.run",
        "Runtime.ImportModuleError",
        "Add it to the archive: npm install left-pad-of-nobody in its folder",
    ),
    "import_file": (
        "require('./gone')",
        "index.run",
        "Runtime.ImportModuleError",
        "Cannot find module './gone'. Put ./gone into the archive, or mend its name",
    ),
    "handler_not_found": (
        "exports.run = () => 1; exports.go = () => 1; exports.x = 1;",
        "index.handler",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'index'; it exports: go, run. ",
    ),
    "no_object": (
        "exports.run = 1",
        "index.run.deep",
        "Runtime.HandlerNotFound",
        "it exports: no function",
    ),
    "syntax": (
        "\nexports.handler = (",
        "index.handler",
        "Runtime.UserCodeSyntaxError",
        "index.js:2)",
    ),
    "syntax_imported": (
        {"index.mjs": "import './other.mjs'", "other.mjs": "const = 1"},
        "index.run",
        "Runtime.UserCodeSyntaxError",
        "(in a module that index.mjs imports)",
    ),
    "link": (
        {"index.mjs": "import {y} from './other.mjs'", "other.mjs": ""},
        "index.run",
        "Runtime.UserCodeSyntaxError",
        "does not provide an export named 'y' (file://",
    ),
    "syntax_esm": (
        {"index.mjs": "export const handler = ("},
        "index.handler",
        "Runtime.UserCodeSyntaxError",
        "index.mjs:1)",
    ),
    "esm_as_commonjs": (
        {"index.cjs": "import fs from 'fs';"},
        "index.run",
        "Runtime.UserCodeSyntaxError",
        'Name the file .mjs, or put {"type": "module"} into package.json',
    ),
    "not_syntax": ("JSON.parse('{')", "index.run", "SyntaxError", "JSON"),
    "malformed": ("", "handler", "Runtime.MalformedHandlerName", "for example index.handler"),
    "outside": ("", "../index.handler", "Runtime.MalformedHandlerName", "write it as"),
    "raises": ("null.x", "index.run", "TypeError", "Cannot read properties of null"),
    "throws_text": ("throw 'ouch'", "index.run", "string", "ouch"),
    "exits": ("process.exit(4)", "index.run", "Runtime.ExitError", "process.exit(4)"),
    "rejects": (
        "Promise.reject(new Error('late'))",
        "index.run",
        "Runtime.UnhandledPromiseRejection",
        "Error: late. Nothing handles this rejection",
    ),
    "never_loads": (
        {"index.mjs": "await new Promise(() => {})"},
        "index.run",
        "Runtime.NodeJsExit",
        "top-level await",
    ),
}


@pytest.mark.parametrize(
    ("dialogue", "name", "kind", "message"),
    INIT_FAILURES.values(),
    ids=INIT_FAILURES,
    indirect=["dialogue"],
)
def test_init_failures(dialogue: Dialogue, name: str, kind: str, message: str) -> None:
    """Each cause has Lambda's type, and a message that names the next step."""
    failure = dialogue.init(name)["failure"]

    assert isinstance(failure, dict)
    assert (kind, True) == (failure["type"], message in failure["message"]), failure


OUTPUTS = {
    "async": (async_handler("return {got: event}"), b'{"got":[1,"\xc3\xa9"]}'),
    "plain": ("exports.handler = (event) => event.length", b"2"),
    "thenable": ("exports.handler = () => ({then: (done) => done(6)})", b"6"),
    "undefined": (async_handler(""), b"null"),
    "plain_undefined": ("exports.handler = () => {}", b"null"),
    "callback": (callback_handler("setTimeout(() => callback(null, 'later'), 5)"), b'"later"'),
    "callback_at_once": (callback_handler("callback(null, 1); callback(null, 2)"), b"1"),
    "callback_returns_timer": (callback_handler("return setTimeout(callback, 5, null, 3)"), b"3"),
    "callback_never": (callback_handler("setTimeout(() => {}, 5)"), b"null"),
    "waits_for_empty_loop": (
        callback_handler("const a = []; callback(null, a); setTimeout(() => a.push(8), 20)"),
        b"[8]",
    ),
    "does_not_wait": (
        callback_handler(
            "context.callbackWaitsForEmptyEventLoop = false;"
            "const a = []; callback(null, a); setTimeout(() => a.push(8), 20)"
        ),
        b"[]",
    ),
    "succeed": ("exports.handler = (event, context) => { context.succeed('s') }", b'"s"'),
    "done": ("exports.handler = (event, context) => { context.done(null, 'd') }", b'"d"'),
    "nan": (async_handler("return [NaN, new Date(0), 'x\\\\ud800']"), b""),
}
OUTPUTS["nan"] = (OUTPUTS["nan"][0], b'[null,"1970-01-01T00:00:00.000Z","x\\\\ud800"]')


@pytest.mark.parametrize(
    ("dialogue", "output"), OUTPUTS.values(), ids=OUTPUTS, indirect=["dialogue"]
)
def test_outputs(dialogue: Dialogue, output: bytes) -> None:
    """Every way to hand over a result; and once more, for what the first call left behind."""
    dialogue.init()

    assert [output] * 2 == [dialogue.output('[1,"é"]'.encode()) for _ in range(2)]


CALL_FAILURES = {
    "throws": (async_handler("throw new RangeError('no such bird')"), "RangeError", "no such bird"),
    "throws_at_once": ("exports.handler = () => { throw 'ouch' }", "string", "ouch"),
    "throws_nothing": (async_handler("throw undefined"), "undefined", "undefined"),
    "callback": (callback_handler("callback(new TypeError('bad'))"), "TypeError", "bad"),
    "callback_text": (callback_handler("callback('bad')"), "string", "bad"),
    "fail": ("exports.handler = (e, context) => { context.fail(new Error('f')) }", "Error", "f"),
    "bigint": (async_handler("return 1n"), "Runtime.MarshalError", "serialize a BigInt. Return "),
    "cycle": (
        async_handler("const a = []; a[0] = a; return a"),
        "Runtime.MarshalError",
        "circular",
    ),
    "function": (async_handler("return () => 1"), "Runtime.MarshalError", "type function"),
    "surrogate": (async_handler("return 'x\\ud800'"), "Runtime.MarshalError", "surrogate"),
    "too_large": (
        async_handler("return 'x'.repeat(6291555)"),
        "Function.ResponseSizeTooLarge",
        "(6291557 bytes) exceeded maximum allowed payload size (6291556 bytes). Write large",
    ),
    "never_settled": (
        async_handler("await new Promise(() => {})"),
        "Runtime.NodeJsExit",
        "never settled",
    ),
    "deep": ("exports.handler = () => exports.handler()", "RangeError", "Maximum call stack size"),
    "long": (async_handler("throw new Error('\\0'.repeat(1e6))"), "Error", "\x00" * 100),
    "odd_text": (async_handler("throw new Error('\\ud800')"), "Error", "\ufffd"),
    "hostile": (
        async_handler("const e = new Error(); e.message = {toJSON() { throw 1 }}; throw e"),
        "Error",
        "it cannot be read",
    ),
}


@pytest.mark.parametrize(
    ("dialogue", "kind", "message"),
    CALL_FAILURES.values(),
    ids=CALL_FAILURES,
    indirect=["dialogue"],
)
def test_call_failures(dialogue: Dialogue, kind: str, message: str) -> None:
    """The function's failure is an answer like another, and the next call is served."""
    dialogue.init()

    for failure in (dialogue.failure(), dialogue.failure()):
        assert (kind, True) == (failure["type"], message in str(failure["message"])), failure


LEAVING = {
    "exit": (
        async_handler("process.exit(7)"),
        "Runtime.ExitError",
        "process.exit(7). Return a value or throw",
        7,
    ),
    "exit_in_a_timer": (
        async_handler("setTimeout(process.exit, 5, 0); await new Promise(() => {})"),
        "Runtime.ExitError",
        "process.exit(0)",
        0,
    ),
    "uncaught": (
        callback_handler("setTimeout(() => { throw new EvalError('in a timer') }, 5)"),
        "EvalError",
        "in a timer",
        1,
    ),
    "emitter": (
        callback_handler("new (require('events'))().emit('error', new Error('unheard'))")
        .replace("new (", "setImmediate(() => new (")
        .replace("'unheard'))", "'unheard')))"),
        "Error",
        "unheard",
        1,
    ),
    "rejection": (
        async_handler("Promise.reject(new TypeError('lost')); return 1"),
        "Runtime.UnhandledPromiseRejection",
        "TypeError: lost. Nothing handles this rejection: await the promise",
        1,
    ),
}


@pytest.mark.parametrize(
    ("dialogue", "kind", "message", "status"), LEAVING.values(), ids=LEAVING, indirect=["dialogue"]
)
def test_what_ends_the_process(dialogue: Dialogue, kind: str, message: str, status: int) -> None:
    """The failure is told, with a word that the sandbox ends; then it does, and is replaced."""
    dialogue.init()
    frame = dialogue.call()

    assert frame is not None
    failure = frame.head["failure"]
    assert isinstance(failure, dict)
    assert (kind, True) == (failure["type"], message in failure["message"]), failure
    assert frame.head["leaving"] is True
    assert b"" == dialogue.sandbox.control.recv(1)
    assert Exit(out_of_memory=False, reason=f"exit status {status}") == (
        dialogue.sandbox.describe_exit()
    )


@with_index(async_handler("process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})"))
def test_a_killed_process_says_nothing(dialogue: Dialogue) -> None:
    """The executor finds out itself."""
    dialogue.init()

    assert dialogue.call() is None
    assert Exit(out_of_memory=False, reason="signal: killed") == dialogue.sandbox.describe_exit()


@with_index(async_handler("if (event === null) for (;;); return event"))
def test_an_endless_loop_dies_with_the_sandbox(dialogue: Dialogue) -> None:
    """It answers nothing, and nothing of it holds up its end."""
    dialogue.init()
    dialogue.send_call()
    with pytest.raises(TimeoutError):
        dialogue.receive(0.3)
    pid = dialogue.pid()

    dialogue.sandbox.destroy()

    assert not Path(f"/proc/{pid}").exists()


@with_index(
    "let ticks = 0; setInterval(() => { ticks += 1 }, 1);"
    "exports.handler = async (event) => {"
    "  setTimeout(() => console.log('late'), 1);"
    "  if (event) await new Promise((done) => setTimeout(done, event));"
    "  return ticks; };"
)
def test_what_a_call_leaves_behind_goes_on_in_the_next(dialogue: Dialogue) -> None:
    """Between calls nothing runs, as in a frozen sandbox: no timer, no output."""
    dialogue.init()
    before = json.loads(dialogue.output())
    dialogue.logs()
    time.sleep(0.2)

    assert "" == dialogue.logs()
    assert json.loads(dialogue.output()) <= before + 2  # 200 if the clock had gone on
    dialogue.output(b"50")
    assert "late" in dialogue.logs()


@with_index(
    async_handler("if (event) setTimeout(() => Promise.reject(new Error('left')), 200); else "
                  "await new Promise((done) => setTimeout(done, 500)); return 1")
)  # fmt: skip
def test_a_rejection_after_the_answer(dialogue: Dialogue) -> None:
    """The answer stands; the call that meets it fails, and the process is replaced."""
    dialogue.init()

    assert b"1" == dialogue.output(b"true")
    assert "Runtime.UnhandledPromiseRejection" == dialogue.failure()["type"]
    assert b"" == dialogue.sandbox.control.recv(1)


@with_index(
    "process.on('unhandledRejection', (error) => console.log('seen', error.message));"
    + async_handler("Promise.reject(new Error('mine')); return 1")
)
def test_a_function_may_see_to_rejections_itself(dialogue: Dialogue) -> None:
    dialogue.init()

    assert [b"1", b"1"] == [dialogue.output(), dialogue.output()]
    assert "seen mine\nseen mine\n" == dialogue.logs()


@with_index(
    "const { spawnSync } = require('child_process');"
    "const say = (...command) => spawnSync(command[0], command.slice(1), {stdio: 'inherit'});"
    + async_handler(
        "process.stdout.write('a\\n'); console.error('b'); say('echo', 'c');"
        "say(process.execPath, '-e', 'console.log(`d`); process.abort()');"
        "console.log('é'.repeat(1e6)); return 1"
    )
)
def test_all_output_is_there_when_the_answer_is(dialogue: Dialogue) -> None:
    """In order: ours, children's, and that of a Node.js child, which makes the log non-blocking."""
    dialogue.init()
    dialogue.send_call()
    text = b""
    while b"\xa9\n" not in text:
        try:
            text += dialogue.sandbox.logs.recv(1 << 20)
        except BlockingIOError:
            time.sleep(0.01)

    frame = dialogue.receive()

    assert frame is not None
    assert b"1" == frame.body
    assert text.startswith(b"a\nb\nc\nd\n")
    assert text.endswith(b"\n" + "é".encode() * 1_000_000 + b"\n")


@with_index(
    "const fs = require('fs'), { spawnSync } = require('child_process');"
    + async_handler(
        "const links = '/proc/self/fd/', mine = fs.readdirSync(links).filter((fd) => fd > 2)"
        ".map((fd) => { try { return fs.readlinkSync(links + fd) } catch { return '' } });"
        "const { stdout } = spawnSync('ls', ['-l', links], {encoding: 'utf8'});"
        "return mine.filter((link) => link.startsWith('socket:'))"
        ".map((link) => stdout.includes(link))"
    )
)
def test_children_do_not_hold_the_control_connection(dialogue: Dialogue) -> None:
    """A child that lives on must not hide the end of its parent, nor answer in its name."""
    dialogue.init()

    assert b"[false]" == dialogue.output()


@with_index(
    "function inner() { throw new Error('x', {cause: new TypeError('y')}) }\n"
    "exports.handler = async () => {\n  inner();\n};"
)
def test_stack_is_the_users(factory: ClosableFactory, dialogue: Dialogue) -> None:
    """Frames of the bootstrap and of Node.js are not in it; causes are."""
    dialogue.init()
    folder = "/var/task" if factory.kind == "docker" else dialogue.sandbox.spec.code_dir
    path = f"{folder}/index.js"

    stack = dialogue.failure()["stack"]

    expected = [f"    at inner ({path}:1:26)", f"    at exports.handler ({path}:3:3)"]
    if isinstance(stack, list):
        stack = [line.replace("async ", "") for line in stack]
    cause = [expected[0].replace("1:26", "1:49"), expected[1]]
    assert [*expected, "Caused by TypeError: y", *cause] == stack


@with_index(
    async_handler(
        "return [context.functionName, context.functionVersion, context.invokedFunctionArn,"
        "context.memoryLimitInMB, context.logGroupName, context.logStreamName,"
        "context.awsRequestId, context.attempt, context.callbackWaitsForEmptyEventLoop,"
        "process.env.AWS_EXECUTION_ENV.replace(/\\d+/, ''), process.env.TZ, process.argv.length]"
    )
)
def test_context(dialogue: Dialogue) -> None:
    """Lambda's names and shapes, and the attempt."""
    dialogue.init(region="eu-west-1")

    expected = [
        *("f", "$LATEST", "arn:aws:lambda:eu-west-1:000000000000:function:f"),
        *("512", "/aws/lambda/f", "s", "r", 3, True, "AWS_Lambda_nodejs.x", ":UTC", 2),
    ]
    assert expected == json.loads(dialogue.output(memory_mb=512, attempt=3))


@with_index(async_handler("return event"))
def test_frames_in_pieces(dialogue: Dialogue) -> None:
    """However the bytes arrive, the frame is the same."""
    dialogue.init()
    control = dialogue.sandbox.control
    frame = encode(CALL, {"id": "r"}, b'"' + "é".encode() * 70_000 + b'"')
    for piece in (frame[:1], frame[1:9], frame[9:20], frame[20:70_000], frame[70_000:]):
        control.sendall(piece)
        time.sleep(0.02)

    answer = dialogue.receive()

    assert answer is not None
    assert "é" * 70_000 == json.loads(answer.body)


@with_index(async_handler("return 'x'.repeat(6291554)"))
def test_largest_output(dialogue: Dialogue) -> None:
    dialogue.init()

    assert 6_291_556 == len(dialogue.output())
