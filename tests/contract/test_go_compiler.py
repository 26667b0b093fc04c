"""Go sources become a program, in each kind of sandbox that has walls."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.go_compiler import find_fault
from tests.contract.sandboxes import (
    REAL_KINDS,
    ClosableFactory,
    leftovers_of_state,
    make_factory,
    make_files,
    need_compiler,
)

MAIN = 'package main\n\nimport "example.com/greet"\n\nfunc main() { print(greet.Text) }\n'
MODULE = "module example.com/hello\n\ngo 1.19\n\nrequire example.com/greet v1.0.0\n"


@pytest.fixture(scope="module", params=REAL_KINDS)
def factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClosableFactory]:
    need_compiler(request.param)
    factory = make_factory(request.param, tmp_path_factory.mktemp("state"))
    yield factory
    factory.close()


def compile_files(
    factory: ClosableFactory, folder: Path, files: dict[str, str]
) -> tuple[str | None, Path]:
    program = folder / "program"
    compilation = factory.compile_go(make_files(folder / "code", files), program)
    return find_fault(compilation, program.read_bytes()[:4]), program


@pytest.mark.timeout(200)
def test_a_module_with_its_modules(factory: ClosableFactory, tmp_path: Path) -> None:
    """What is vendored is compiled in; the program needs nothing of the host."""
    files = {
        "go.mod": MODULE,
        "main.go": MAIN,
        "vendor/modules.txt": "# example.com/greet v1.0.0\n## explicit\nexample.com/greet\n",
        "vendor/example.com/greet/greet.go": 'package greet\n\nconst Text = "hello"\n',
    }

    fault, program = compile_files(factory, tmp_path, files)
    program.chmod(0o755)
    ran = subprocess.run([program], capture_output=True, check=True)

    assert fault is None
    assert b"hello" == ran.stderr


@pytest.mark.timeout(200)
def test_files_without_a_module(factory: ClosableFactory, tmp_path: Path) -> None:
    """A main.go alone is enough, and tests beside it are left out."""
    files = {"main.go": "package main\nfunc main() {}\n", "main_test.go": "package other\n"}

    assert compile_files(factory, tmp_path, files)[0] is None


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"main.go": "package main\nfunc main() { undefinedThing() }\n"}, "undefinedThing"),
        ({"main.go": "package lib\nfunc F() {}\n"}, "its root must be package main"),
        ({"main.go": "no go"}, "expected 'package'"),
        ({"go.mod": MODULE, "main.go": MAIN}, "go mod vendor"),
        ({"main.go": 'package main\nimport "C"\nfunc main() {}\n'}, "no Go source files"),
    ],
    ids=["undefined", "library", "syntax", "unvendored", "cgo"],
)
def test_faults_are_told(
    factory: ClosableFactory, tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """In the compiler's words, with what to do where it does not say so itself."""
    fault, _ = compile_files(factory, tmp_path, files)

    assert fault is not None
    assert expected in fault


def test_nothing_is_left(factory: ClosableFactory, tmp_path: Path) -> None:
    """Neither folder nor process."""
    own = make_factory(factory.kind, tmp_path / "state")

    compile_files(own, tmp_path, {"main.go": "no go"})

    assert [] == leftovers_of_state(tmp_path / "state")
    own.close()
