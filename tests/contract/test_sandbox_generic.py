"""A generic sandbox that becomes a function's, on every kind of sandbox."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executor.cgroups import read_own_cgroups
from executor.furnish import link_tree, set_memory_limit
from executor.sandbox import SandboxError, SandboxSpec
from shared.events import Limits, Runtime
from tests.contract.sandboxes import (
    KINDS,
    REAL_KINDS,
    ClosableFactory,
    Dialogue,
    make_factory,
    make_files,
    make_spec,
    need_kind,
    started,
)

FILES = {
    Runtime.PYTHON: {
        "main.py": "import os\nfrom inner import word\n"
        "def handler(event, context):\n"
        "    if event == 'write':\n"
        "        try:\n"
        "            open('/var/task/inner/word.txt', 'a').close()\n"
        "        except OSError as error:\n"
        "            return error.strerror\n"
        "    if event == 'fill':\n"
        "        return len(bytearray(os.urandom(1)) * (300 << 20))\n"
        "    return [word.WORD, context.memory_limit_in_mb]\n",
        "inner/__init__.py": "",
        "inner/word.py": "WORD = open(__file__.replace('.py', '.txt')).read()\n",
        "inner/word.txt": "found",
    },
    Runtime.NODEJS: {
        "index.js": "const { word } = require('./inner/word');\n"
        "const fs = require('fs');\n"
        "exports.handler = async (event, context) => {\n"
        "  if (event === 'write') {\n"
        "    try { fs.appendFileSync('/var/task/inner/word.txt', ''); }\n"
        "    catch ({ code }) { return code === 'EROFS' ? 'Read-only file system' : code; }\n"
        "  }\n"
        "  if (event === 'fill') return Buffer.alloc(300 << 20, 1).length;\n"
        "  return [word, context.memoryLimitInMB];\n"
        "};\n",
        "inner/word.js": "const fs = require('fs');\n"
        "exports.word = fs.readFileSync(__dirname + '/word.txt', 'utf8');\n",
        "inner/word.txt": "found",
    },
}


@pytest.fixture(scope="module", params=KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    for runtime in FILES:
        need_kind(request.param, runtime)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


@pytest.fixture(params=FILES)
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxSpec:
    """A function of several files in every language, larger than what a generic sandbox gets."""
    code = make_files(tmp_path / "code", FILES[request.param])
    return make_spec(code, runtime=request.param, memory_mb=512)


def strip(spec: SandboxSpec, memory_mb: int = 128) -> SandboxSpec:
    """The generic sandbox that can become that of `spec`."""
    limits = Limits(memory_mb=memory_mb, timeout_ms=0)
    return replace(spec, function_id="", code_dir=None, limits=limits)


def test_it_becomes_the_functions(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Frozen meanwhile: its code is found, its memory is what the function asked for."""
    with started(factory, strip(spec)) as dialogue:
        dialogue.sandbox.meter.freeze()
        dialogue.sandbox.furnish(spec)
        dialogue.sandbox.meter.thaw()

        assert {} == dialogue.init(memory_mb=512)
        assert ["found", "512"] == json.loads(dialogue.output())
        assert spec == dialogue.sandbox.spec
        assert str(300 << 20).encode() == dialogue.output(b'"fill"')  # more than 128 MB


def test_its_code_is_read_only(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """What is linked into it is the code of other sandboxes too."""
    if factory.kind not in REAL_KINDS:
        pytest.skip("the fake isolates nothing")
    assert spec.code_dir is not None
    (spec.code_dir / "inner/word.txt").chmod(0o666)  # so that the mount alone forbids it
    with started(factory, strip(spec)) as dialogue:
        dialogue.sandbox.furnish(spec)
        dialogue.init()

        assert "Read-only file system" == json.loads(dialogue.output(b'"write"'))


def test_the_limit_holds(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Raised to 256 MB it ends a function that takes 300."""
    if factory.kind not in REAL_KINDS:
        pytest.skip("the fake limits nothing")
    smaller = replace(spec, limits=Limits(memory_mb=256, timeout_ms=5_000))
    with started(factory, strip(spec)) as dialogue:
        dialogue.sandbox.furnish(smaller)
        dialogue.init()

        assert dialogue.call(b'"fill"') is None
        assert dialogue.sandbox.describe_exit().out_of_memory


def test_a_limit_is_not_lowered_below_use(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """The kernel would kill for it."""
    if factory.kind not in REAL_KINDS:
        pytest.skip("the fake limits nothing")
    with started(factory, strip(spec)) as dialogue:
        cgroups = read_own_cgroups(dialogue.pid())
        with pytest.raises(OSError, match="in use"):
            set_memory_limit(cgroups, 1 << 20)
        tiny = replace(spec, limits=Limits(memory_mb=1, timeout_ms=0))
        with pytest.raises(SandboxError, match="cannot become that of f"):
            dialogue.sandbox.furnish(tiny)


def test_nothing_of_the_code_is_lost(factory: ClosableFactory, spec: SandboxSpec) -> None:
    """Removing the sandbox removes its links and not the files."""
    sandbox = factory.start(strip(spec))
    sandbox.furnish(spec)
    Dialogue(sandbox).init()
    sandbox.destroy()

    files = FILES[spec.runtime]
    assert spec.code_dir is not None
    assert files == {name: (spec.code_dir / name).read_text() for name in files}
    assert {1} == {(spec.code_dir / name).stat().st_nlink for name in files}


def test_another_file_system_is_copied(tmp_path: Path) -> None:
    """Where no link can lead, the code is copied, with who may read it."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    code = make_files(tmp_path / "code", FILES[Runtime.PYTHON])
    target = shm / f"hearth-test-{os.getpid()}"
    target.mkdir()
    try:
        link_tree(code, target)

        assert "found" == (target / "inner/word.txt").read_text()
        assert 0o644 == (target / "main.py").stat().st_mode & 0o777
    finally:
        for path in sorted(target.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        target.rmdir()
