"""inputS3, OUTPUT_DIR and long logs through a living executor, on every kind of sandbox."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw, json, structs

from shared.aws import make_client
from shared.events import Execution, Outcome, Runtime, S3Object
from shared.settings import Settings
from tests.contract.sandboxes import KINDS, make_factory, need_kind
from tests.fixtures_redis import RedisServer
from tests.integration.executors import TurnedExecutor

MEBIBYTE = 1 << 20
Make = Callable[..., TurnedExecutor]

PYTHON = r'''
import hashlib, os, socket, stat, sys, threading, time

def handler(event, context):
    """Do what the event says."""
    what, *more = event
    return globals()["do_" + what](context, *more)

def do_digest(context):
    digest, count = hashlib.sha256(), 0
    with open(os.environ["INPUT_FILE"], "rb", buffering=0) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            count += len(chunk)
    assert context.input_path == os.environ["INPUT_FILE"]
    return [digest.hexdigest(), count, context.input_bytes]

def do_has_input(context):
    return [os.path.exists(os.environ["INPUT_FILE"]), context.input_path, context.input_bytes]

def do_ignore(context):
    return "ignored"

def do_begin(context, count):
    with open(context.input_path, "rb") as stream:
        return stream.read(count).decode()

def do_twice(context):
    open(context.input_path, "rb").read()
    open(context.input_path, "rb")

def do_leave_open(context, count):
    global left
    left = open(context.input_path, "rb", buffering=0)
    return left.read(count).decode()

def do_slowly(context):
    with open(context.input_path, "rb", buffering=0) as stream:
        begin = stream.read(1)
        time.sleep(1)
        return len(begin) + len(stream.read())

def do_read_later(context):
    stream = open(context.input_path, "rb", buffering=0)
    first = stream.read(1)
    open(os.path.join(context.output_dir, "begun"), "w").close()
    while not os.path.exists(context.output_dir + "/go"):
        time.sleep(0.01)
    rest = stream.read()
    return ["".join(sorted(set((first + rest).decode()))), len(first + rest)]

def do_files(context, files):
    os.chdir(context.output_dir)
    for name, text in files.items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w") as file:
            file.write(text)
    os.chdir("/")
    return sorted(os.listdir(context.output_dir))

def do_many(context, count):
    for number in range(count):
        with open(f"{context.output_dir}/file-{number:05}-" + "x" * 100, "w") as file:
            file.write(str(number))

def do_listing(context):
    return sorted(os.listdir(os.environ["OUTPUT_DIR"]))

def do_odd(context):
    os.chdir(context.output_dir)
    os.symlink("/etc/passwd", "link")
    os.symlink("/", "root")
    os.symlink("../owner.json", "up")
    os.mkfifo("pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    open("twice", "w").write("twice")
    os.link("twice", "once more")
    open(b"bytes-\xff", "w").write("not text")
    open("new\nline", "w").write("new line")
    open("\ud55c\uad6d\uc5b4", "w").write("unicode")
    open("plain", "w").write("plain")
    os.chdir("/")

def do_deep(context, depth):
    os.chdir(context.output_dir)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    open("deepest", "w").close()
    os.chdir("/")

def do_fail(context):
    open(context.output_dir + "/half", "w").write("half")
    raise ValueError("no")

def do_hang(context):
    open(context.output_dir + "/half", "w").write("half")
    time.sleep(60)

def do_overfill(context, mebibytes):
    with open(context.output_dir + "/large", "wb") as file:
        for _ in range(mebibytes):
            file.write(b"x" * (1 << 20))
            file.flush()
            time.sleep(0.02)
    time.sleep(30)

def do_sparse(context):
    with open(context.output_dir + "/sparse", "wb") as file:
        file.truncate(1 << 40)

def do_lock_away(context):
    os.makedirs(context.output_dir + "/a/b")
    os.chmod(context.output_dir + "/a/b", 0)
    os.chmod(context.output_dir + "/a", 0)

def do_large_file(context, mebibytes):
    with open(context.output_dir + "/large", "wb") as file:
        for number in range(mebibytes):
            file.write(bytes([number % 256]) * (1 << 20))

def do_flood(context, count):
    line = "x" * 1023 + "\n"
    for _ in range(count):
        sys.stdout.write(line)
    print("the last line")

def do_say(context, text):
    print(text)

def do_leave_writing(context):
    def write():
        time.sleep(0.3)
        open(context.output_dir + "/late", "w").write("late")
    threading.Thread(target=write).start()

def do_sleep(context, seconds):
    time.sleep(seconds)

def do_die(context):
    open(context.input_path, "rb", buffering=0).read(1)
    os._exit(3)
'''

NODEJS = """
const fs = require("fs");
const crypto = require("crypto");

exports.handler = async ([what], context) => {
  if (what === "digest") {
    const digest = crypto.createHash("sha256");
    let count = 0;
    for await (const chunk of fs.createReadStream(process.env.INPUT_FILE)) {
      digest.update(chunk);
      count += chunk.length;
    }
    return [digest.digest("hex"), count, context.inputBytes];
  }
  fs.mkdirSync(`${context.outputDir}/a`);
  fs.writeFileSync(`${process.env.OUTPUT_DIR}/a/b.txt`, "from nodejs");
  return [fs.existsSync(process.env.INPUT_FILE), context.inputPath ?? null];
};
"""


@pytest.fixture
def make(
    aws_settings: Settings, redis_server: RedisServer, s3: Any, bucket: str, tmp_path: Path
) -> Iterator[Make]:
    """Executors with some settings, of which all are closed."""
    made: list[TurnedExecutor] = []

    def make_one(kind: str = "process", **changes: Any) -> TurnedExecutor:
        need_kind(kind)
        given = {"redis_url": redis_server.url, "s3_output_bucket": bucket, **changes}
        settings = structs.replace(aws_settings, **given)
        factory = make_factory(kind, Path(settings.state_dir))
        executor = TurnedExecutor(settings, factory, s3, bucket)
        executor.deploy("f", PYTHON)
        made.append(executor)
        return executor

    yield make_one
    for executor in made:
        if not executor.is_closed:
            executor.close()
    assert [] == list((tmp_path / "state" / "sandboxes").iterdir())
    deadline = time.monotonic() + 5
    while any(one.name.startswith(("input-fetch", "apart")) for one in threading.enumerate()):
        assert time.monotonic() < deadline, "a thread of a stream is left"
        time.sleep(0.01)


@pytest.fixture(params=KINDS)
def every(request: pytest.FixtureRequest, make: Make) -> TurnedExecutor:
    """An executor of each kind of sandbox."""
    return make(request.param)


def ask(*what: object) -> dict[str, Any]:
    return {"input": Raw(json.encode(what))}


def output_of(execution: Execution) -> Any:
    assert execution.outcome is Outcome.SUCCEEDED, execution.answer
    return json.decode(execution.answer.output)


def failure_of(execution: Execution) -> tuple[str, str]:
    failure = execution.answer.failure
    assert failure is not None, execution.answer
    return failure.type, failure.message


def put(s3: Any, bucket: str, key: str, size: int) -> str:
    """An object of that size; its digest."""
    body = os.urandom(size)
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    return hashlib.sha256(body).hexdigest()


# -- in --------------------------------------------------------------------------------------------


def test_an_object_streams_in(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """Cold and warm, larger than the window, small and empty; a call without input has no FIFO."""
    sizes = {"large": 41 * MEBIBYTE + 7, "small": 10, "part": 8 * MEBIBYTE, "empty": 0}
    for name, size in sizes.items():
        digest = put(s3, bucket, name, size)

        ended = every.invoke(name, "f", input_s3=name, **ask("digest"))

        assert [digest, size, size] == output_of(ended)
        assert ended.phases.input_us > 0
    assert [False, None, None] == output_of(every.invoke("no", "f", **ask("has_input")))


def test_nodejs_streams_too(make: Make, s3: Any, bucket: str) -> None:
    """The same place and the same folder for the other language."""
    need_kind("bubblewrap", Runtime.NODEJS)
    executor = make("bubblewrap")
    executor.deploy("n", NODEJS, Runtime.NODEJS)
    digest = put(s3, bucket, "object", 20 * MEBIBYTE)

    read = executor.invoke("one", "n", input_s3="object", **ask("digest"))
    wrote = executor.invoke("two", "n", **ask("write"))

    assert [digest, 20 * MEBIBYTE, 20 * MEBIBYTE] == output_of(read)
    assert [False, None] == output_of(wrote)
    assert [b"from nodejs"] == [executor.read(place) for place in wrote.answer.output_files]


def test_the_call_may_not_want_it(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """Not opened, read a little, left open: the next call in the same sandbox sees only its own."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"a" * (30 * MEBIBYTE))
    s3.put_object(Bucket=bucket, Key="b", Body=b"b" * (3 * MEBIBYTE))
    steps = ("ignore", ()), ("begin", (3,)), ("leave_open", (3,)), ("begin", (3,))
    found = []
    for number, (what, more) in enumerate(steps):
        key = "ab"[number % 2]
        found.append(every.invoke(f"call-{number}", "f", input_s3=key, **ask(what, *more)))

    assert ["ignored", "bbb", "aaa", "bbb"] == [output_of(one) for one in found]
    assert ["cold", "warm", "warm", "warm"] == [one.start for one in found]
    digest = put(s3, bucket, "c", 20 * MEBIBYTE)
    last = every.invoke("last", "f", input_s3="c", **ask("digest"))
    assert [digest, 20 * MEBIBYTE, 20 * MEBIBYTE] == output_of(last)
    assert "warm" == last.start


def test_a_stream_is_read_once(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """Who opens it again is told at once, and does not hang."""
    put(s3, bucket, "a", 100)

    ended = every.invoke("twice", "f", input_s3="a", **ask("twice"))

    assert "FileNotFoundError" == failure_of(ended)[0]


def test_a_slow_reader(make: Make, s3: Any, bucket: str) -> None:
    """The executor waits with a full window, and all of it arrives."""
    put(s3, bucket, "a", 50 * MEBIBYTE)
    executor = make(input_window_mb=8)

    assert 50 * MEBIBYTE == output_of(executor.invoke("s", "f", input_s3="a", **ask("slowly")))


def test_what_is_not_there_is_rejected(make: Make) -> None:
    """No sandbox is started for an object or a bucket that does not exist."""
    executor = make()

    ended = executor.invoke("one", "f", input_s3="nothing", **ask("digest"))

    assert Outcome.REJECTED is ended.outcome
    assert "inputS3: s3://" in failure_of(ended)[1]
    assert "does not exist: upload it or mend inputS3.key" in failure_of(ended)[1]
    assert 0 == executor.executor.supply.pool.idle_count


def test_a_timed_out_reader(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """Its stream ends with it; the executor goes on."""
    put(s3, bucket, "a", 40 * MEBIBYTE)

    ended = every.invoke("one", "f", input_s3="a", timeout_ms=300, **ask("sleep", 60))
    after = every.invoke("two", "f", input_s3="a", **ask("begin", 0))

    assert Outcome.TIMED_OUT is ended.outcome
    assert "" == output_of(after)


def test_a_reader_that_dies(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """It is told as any other end of its process."""
    put(s3, bucket, "a", 40 * MEBIBYTE)

    ended = every.invoke("one", "f", input_s3="a", **ask("die"))
    after = every.invoke("two", "f", input_s3="a", **ask("begin", 0))

    assert Outcome.CRASHED is ended.outcome
    assert "" == output_of(after)


def test_several_at_once(every: TurnedExecutor, s3: Any, bucket: str) -> None:
    """Each reads its own."""
    digests = {f"at-once-{n}": put(s3, bucket, f"at-once-{n}", 12 * MEBIBYTE + n) for n in range(4)}
    for name in digests:
        every.send(name, "f", input_s3=name, **ask("digest"))
    every.turn(lambda: all(every.find(name) is not None for name in digests))

    for number, (name, digest) in enumerate(digests.items()):
        ended = every.find(name)
        assert ended is not None
        size = 12 * MEBIBYTE + number
        assert [digest, size, size] == output_of(ended)


@pytest.mark.parametrize("what", ["read_later", "sleep"])
def test_stopping_in_the_middle(every: TurnedExecutor, s3: Any, bucket: str, what: str) -> None:
    """Whether the stream was opened or not, nothing keeps the executor from leaving."""
    put(s3, bucket, "a", 60 * MEBIBYTE)
    more = [60] if what == "sleep" else []
    every.send("one", "f", input_s3="a", timeout_ms=60_000, **ask(what, *more))
    every.turn(lambda: every.executor.supply.pool.busy_count == 1)
    begun = time.monotonic()
    every.turn(lambda: time.monotonic() - begun > 2)
    began = time.monotonic()

    every.close()

    assert time.monotonic() - began < 10
    assert every.executor.under_way == 1


class CuttingProxy:
    """Stands before the S3 server: cuts answers in the middle, or refuses everything."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut_after: int | None = None  # bytes of one answer
        self.cuts = 0
        self.is_away = False
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_away:
                client.close()
                continue
            server = socket.create_connection(self._target)
            for source, sink, is_answer in ((client, server, False), (server, client, True)):
                arguments = (source, sink, is_answer)
                threading.Thread(target=self._copy, args=arguments, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65_536):
                passed += len(data)
                limit = 0 if self.is_away else self.cut_after
                if is_answer and limit is not None and passed > limit:
                    self.cuts += 1
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def proxy(aws_port: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(aws_port)
    yield proxy
    proxy.close()


def test_cut_answers_go_on_where_they_stopped(
    make: Make, s3: Any, bucket: str, proxy: CuttingProxy
) -> None:
    """Every answer breaks after three megabytes; the function reads every byte once."""
    digest = put(s3, bucket, "a", 21 * MEBIBYTE)
    executor = make(local_aws_port=proxy.port, code_check_seconds=600)
    output_of(executor.invoke("warm", "f", **ask("listing")))
    proxy.cut_after = 3 * MEBIBYTE

    found = output_of(executor.invoke("one", "f", input_s3="a", **ask("digest")))

    assert [digest, 21 * MEBIBYTE, 21 * MEBIBYTE] == found
    assert proxy.cuts >= 5


def test_s3_comes_back(make: Make, s3: Any, bucket: str, proxy: CuttingProxy) -> None:
    """While it is away the function waits; then it gets the rest."""
    digest = put(s3, bucket, "a", 60 * MEBIBYTE)
    executor = make(local_aws_port=proxy.port, input_window_mb=8, code_check_seconds=600)
    output_of(executor.invoke("warm", "f", **ask("listing")))
    proxy.cut_after = 2 * MEBIBYTE
    executor.send("one", "f", input_s3="a", **ask("digest"))
    executor.turn(lambda: proxy.cuts > 2)
    proxy.is_away = True
    begun = time.monotonic()
    executor.turn(lambda: time.monotonic() - begun > 1)
    assert executor.find("one") is None
    proxy.is_away, proxy.cut_after = False, None

    executor.turn(lambda: executor.find("one") is not None)

    found = executor.find("one")
    assert found is not None
    assert [digest, 60 * MEBIBYTE, 60 * MEBIBYTE] == output_of(found)


def test_s3_stays_away(make: Make, s3: Any, bucket: str, proxy: CuttingProxy) -> None:
    """The function never sees an end; its time-out says what it waited for."""
    put(s3, bucket, "a", 60 * MEBIBYTE)
    executor = make(local_aws_port=proxy.port, input_window_mb=8, code_check_seconds=600)
    output_of(executor.invoke("warm", "f", **ask("listing")))
    proxy.cut_after = MEBIBYTE
    executor.send("one", "f", input_s3="a", timeout_ms=2_500, **ask("digest"))
    executor.turn(lambda: proxy.cuts > 2)
    proxy.is_away = True
    executor.turn(lambda: executor.executor.under_way == 0)
    proxy.is_away, proxy.cut_after = False, None
    executor.turn(lambda: executor.find("one") is not None)

    ended = executor.find("one")
    assert ended is not None
    assert Outcome.TIMED_OUT is ended.outcome
    assert "S3 did not answer for inputS3, read up to" in failure_of(ended)[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["overwritten", "removed"])
def test_a_changed_object_fails(make: Make, s3: Any, bucket: str, kind: str, change: str) -> None:
    """The function never sees bytes of two versions, nor an end; its files are not published."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"a" * (60 * MEBIBYTE))
    executor = make(kind, input_window_mb=8)
    executor.send("one", "f", input_s3="a", **ask("read_later"))
    executor.turn(lambda: bool(_find_begun(executor)))
    if change == "removed":
        s3.delete_object(Bucket=bucket, Key="a")
    else:
        s3.put_object(Bucket=bucket, Key="a", Body=b"b" * (60 * MEBIBYTE))
    _find_begun(executor)[0].with_name("go").touch()
    executor.turn(lambda: executor.find("one") is not None)

    ended = executor.find("one")
    assert ended is not None
    assert "Input.Changed" == failure_of(ended)[0]
    assert f"was {change} while it was read" in failure_of(ended)[1]
    assert Outcome.FAILED is ended.outcome
    assert ((), []) == (ended.answer.output_files, executor.list_keys("outputs/one"))


def test_a_kept_version_is_read_to_its_end(make: Make, s3: Any, bucket: str) -> None:
    """Where the bucket keeps versions, an overwritten object is still there."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="a", Body=b"a" * (60 * MEBIBYTE))
    executor = make(input_window_mb=8)
    executor.send("one", "f", input_s3="a", **ask("read_later"))
    executor.turn(lambda: bool(_find_begun(executor)))
    s3.put_object(Bucket=bucket, Key="a", Body=b"b" * (60 * MEBIBYTE))
    _find_begun(executor)[0].with_name("go").touch()
    executor.turn(lambda: executor.find("one") is not None)

    ended = executor.find("one")
    assert ended is not None
    assert ["a", 60 * MEBIBYTE] == output_of(ended)


def _find_begun(executor: TurnedExecutor) -> list[Path]:
    root = Path(executor.settings.state_dir) / "sandboxes"
    return list(root.glob("*/output/begun"))


# -- out -------------------------------------------------------------------------------------------


def test_output_files_are_uploaded(every: TurnedExecutor) -> None:
    """Nested too; named in the order of their names; the next call finds the folder empty."""
    files = {"b.txt": "two", "a/b/c.txt": "one", "z": ""}

    wrote = every.invoke("one", "f", **ask("files", files))
    after = every.invoke("two", "f", **ask("listing"))
    again = every.invoke("three", "f", **ask("files", {"b.txt": "again"}))

    assert ["a", "b.txt", "z"] == output_of(wrote)
    assert [
        S3Object(bucket=every.settings.output_bucket, key=f"outputs/one/{name}")
        for name in ("a/b/c.txt", "b.txt", "z")
    ] == list(wrote.answer.output_files)
    assert [b"one", b"two", b""] == [every.read(place) for place in wrote.answer.output_files]
    assert ([], ()) == (output_of(after), after.answer.output_files)
    assert ["outputs/three/b.txt"] == [place.key for place in again.answer.output_files]
    assert "warm" == after.start == again.start


def test_links_and_odd_files_are_left_out(every: TurnedExecutor) -> None:
    """Nothing but plain files of the folder itself is ever read; the log names the rest."""
    ended = every.invoke("one", "f", **ask("odd"))

    output_of(ended)
    found = {place.key: every.read(place) for place in ended.answer.output_files}
    assert {
        "outputs/one/plain": b"plain",
        "outputs/one/bytes-%FF": b"not text",
        "outputs/one/new%0Aline": b"new line",
        "outputs/one/\ud55c\uad6d\uc5b4": b"unicode",
    } == found
    assert sorted(found) == every.list_keys("outputs/one/")
    for line in (
        "link: a symbolic link",
        "root: a symbolic link",
        "up: a symbolic link",
        "pipe: not a plain file",
        "socket: not a plain file",
        "twice: a second name of a file",
    ):
        assert f"OUTPUT_DIR: left out {line}\n" in ended.answer.logs
    assert [] == output_of(every.invoke("two", "f", **ask("listing")))


def test_a_thousand_files(make: Make) -> None:
    """Their list lies in S3; one more is refused."""
    executor = make()

    ended = executor.invoke("one", "f", timeout_ms=60_000, **ask("many", 1000))
    more = executor.invoke("two", "f", **ask("many", 1001))

    output_of(ended)
    listing = ended.answer.output_files_s3
    assert listing is not None
    assert () == ended.answer.output_files
    places = json.decode(executor.read(listing), type=list[S3Object])
    assert 1000 == len(places) == len(executor.list_keys("outputs/one/"))
    assert b"999" == executor.read(places[999])
    assert "Function.OutputFilesTooLarge" == failure_of(more)[0]
    assert [] == executor.list_keys("outputs/two/")


def test_deep_folders(every: TurnedExecutor) -> None:
    """Deeper than anything is walked or removed by recursion: left out, and gone afterwards."""
    ended = every.invoke("one", "f", **ask("deep", 1_500))
    after = every.invoke("two", "f", **ask("listing"))

    assert ((), []) == (ended.answer.output_files, output_of(after))
    assert "deeper than 32 folders" in ended.answer.logs
    assert "warm" == after.start


def test_locked_folders(every: TurnedExecutor) -> None:
    """Folders that nobody may enter are removed all the same."""
    output_of(every.invoke("one", "f", **ask("lock_away")))

    after = every.invoke("two", "f", **ask("listing"))

    assert ([], "warm") == (output_of(after), after.start)


@pytest.mark.parametrize("what", ["fail", "hang"])
def test_nothing_of_a_failed_call_is_uploaded(every: TurnedExecutor, what: str) -> None:
    """A file that was half written must not be taken for a result."""
    ended = every.invoke("one", "f", timeout_ms=1_500, **ask(what))
    after = every.invoke("two", "f", **ask("listing"))

    assert ended.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)
    assert ((), []) == (ended.answer.output_files, every.list_keys("outputs/"))
    assert [] == output_of(after)


def test_too_much_is_stopped_while_it_runs(every: TurnedExecutor, make: Make) -> None:
    """The sandbox is killed long before its time-out, and its files are gone."""
    executor = make(every.executor._launcher.kind, output_dir_mb=10, disk_reserve_mb=0)
    began = time.monotonic()

    ended = executor.invoke("one", "f", **ask("overfill", 100))

    assert time.monotonic() - began < 15
    assert "Function.OutputFilesTooLarge" == failure_of(ended)[0]
    assert Outcome.FAILED is ended.outcome
    assert [] == executor.list_keys("outputs/")


def test_too_much_is_refused_at_the_end(make: Make) -> None:
    """By what would be uploaded, not by what it takes on the disk."""
    executor = make()

    ended = executor.invoke("one", "f", **ask("sparse"))
    after = executor.invoke("two", "f", **ask("listing"))

    assert "Function.OutputFilesTooLarge" == failure_of(ended)[0]
    assert ([], "warm") == (output_of(after), after.start)


def test_the_disk_keeps_its_reserve(make: Make, tmp_path: Path) -> None:
    """With less left than is reserved, who writes is stopped."""
    disk = os.statvfs(tmp_path)
    free_mb = disk.f_bavail * disk.f_frsize >> 20
    executor = make(disk_reserve_mb=free_mb + 1_000)

    ended = executor.invoke("one", "f", **ask("overfill", 5))
    after = executor.invoke("two", "f", **ask("sleep", 0.6))

    assert "DISK_RESERVE_MB" in failure_of(ended)[1]
    assert Outcome.SUCCEEDED is after.outcome


def test_a_large_file_goes_out_in_parts(make: Make, s3: Any) -> None:
    """By multipart upload, whole."""
    executor = make()

    ended = executor.invoke("one", "f", **ask("large_file", 40))

    assert ["outputs/one/large"] == [place.key for place in ended.answer.output_files]
    place = ended.answer.output_files[0]
    assert b"".join(bytes([n]) * MEBIBYTE for n in range(40)) == executor.read(place)
    assert "-5" in s3.head_object(Bucket=place.bucket, Key=place.key)["ETag"]


def test_files_written_after_the_answer_belong_to_the_next_call(make: Make) -> None:
    """As all else that a call leaves behind."""
    executor = make()
    output_of(executor.invoke("one", "f", **ask("leave_writing")))

    after = executor.invoke("two", "f", **ask("sleep", 0.6))

    assert ["outputs/two/late"] == [place.key for place in after.answer.output_files]


def test_files_wait_for_s3(make: Make, proxy: CuttingProxy) -> None:
    """The invocation ends when they are there, and not without them."""
    executor = make(local_aws_port=proxy.port, code_check_seconds=600)
    output_of(executor.invoke("warm", "f", **ask("listing")))
    proxy.is_away = True
    executor.send("one", "f", **ask("files", {"a": "1"}))
    begun = time.monotonic()
    executor.turn(lambda: time.monotonic() - begun > 1)
    assert executor.find("one") is None
    proxy.is_away = False
    executor.turn(lambda: executor.find("one") is not None)

    ended = executor.find("one")
    assert ended is not None
    assert [b"1"] == [executor.read(place) for place in ended.answer.output_files]


# -- logs ------------------------------------------------------------------------------------------


def test_long_logs_lie_in_s3(every: TurnedExecutor) -> None:
    """The result holds the beginning, S3 all of it; the next call's log is its own."""
    ended = every.invoke("one", "f", **ask("flood", 300))
    after = every.invoke("two", "f", **ask("say", "short"))

    answer = ended.answer
    assert answer.logs_s3 is not None
    whole = ("x" * 1023 + "\n") * 300 + "the last line\n"
    assert (True, whole[:16_384]) == (answer.logs_truncated, answer.logs)
    assert whole.encode() == every.read(answer.logs_s3)
    assert "logs/one.log" == answer.logs_s3.key
    assert ("short\n", False, None) == (
        after.answer.logs,
        after.answer.logs_truncated,
        after.answer.logs_s3,
    )


def test_a_flood_is_bounded(make: Make) -> None:
    """In S3 too."""
    executor = make(logs_bytes_max=100_000)

    ended = executor.invoke("one", "f", **ask("flood", 3_000))

    assert ended.answer.logs_s3 is not None
    assert 100_000 == len(executor.read(ended.answer.logs_s3))


def test_a_client_of_the_proxy_is_the_same(aws_settings: Settings, proxy: CuttingProxy) -> None:
    """What the tests above rest on: undisturbed, the proxy changes nothing."""
    client = make_client(structs.replace(aws_settings, local_aws_port=proxy.port), "s3")

    assert isinstance(client.list_buckets()["Buckets"], list)
    client.close()
