"""Packing a folder, and finding what runs in it."""

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli.entry_point import EntryPointError, find_entry_point
from cli.package import PackageError, pack

PYTHON = b"def handler(event, context):\n    return event\n"
NODE = b"exports.handler = async (event) => event;\n"


def make(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of these files, written in this order."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    return folder


def names_in(archive: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return opened.namelist()


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    """Whenever, wherever and in which order they were written, and whoever may read them."""
    files = {"main.py": PYTHON, "lib/b.py": b"b = 1\n", "lib/a.py": b"a = 1\n"}
    one = make(tmp_path / "one", files)
    other = make(tmp_path / "other", dict(reversed(files.items())))
    os.utime(other / "main.py", (1, 1))
    (other / "main.py").chmod(0o600)

    assert pack(one) == pack(other)
    assert ["lib/a.py", "lib/b.py", "main.py"] == names_in(pack(one))


def test_what_can_be_run_stays_so(tmp_path: Path) -> None:
    """It is all that is kept of a mode, and it changes the bytes."""
    folder = make(tmp_path, {"bootstrap": b"#!/bin/sh\n"})
    before = pack(folder)
    (folder / "bootstrap").chmod(0o744)

    with zipfile.ZipFile(io.BytesIO(pack(folder))) as archive:
        assert 0o100755 == archive.getinfo("bootstrap").external_attr >> 16
    assert before != pack(folder)


def test_what_no_function_needs_is_left_out(tmp_path: Path) -> None:
    """Caches, version control, secrets, and what the folder's own list names."""
    folder = make(
        tmp_path,
        {
            "main.py": PYTHON,
            ".hearthignore": b"# mine\n*.csv\n/notes/\ndata/raw\n",
            ".env": b"SECRET=1",
            ".git/config": b"",
            "__pycache__/main.pyc": b"",
            "notes/a.txt": b"",
            "data/raw/x.bin": b"",
            "data/kept.bin": b"",
            "lib/table.csv": b"",
            "node_modules/left/index.js": b"",
            "node_modules/.bin/tool": b"",
        },
    )

    assert ["data/kept.bin", "main.py", "node_modules/left/index.js"] == names_in(pack(folder))


def test_links(tmp_path: Path) -> None:
    """One to a file inside is that file; one that leads out is refused."""
    folder = make(tmp_path / "function", {"main.py": PYTHON})
    (folder / "again.py").symlink_to("main.py")
    inside = pack(folder)
    (folder / "secret.py").symlink_to("/etc/hostname")

    assert ["again.py", "main.py"] == names_in(inside)
    with pytest.raises(PackageError, match=r"secret\.py is a link to /etc/hostname"):
        pack(folder)


def test_nothing_to_pack(tmp_path: Path) -> None:
    """An empty archive would be refused later, in other words."""
    make(tmp_path, {".git/config": b""})

    with pytest.raises(PackageError, match="holds no file to deploy"):
        pack(tmp_path)


@pytest.mark.parametrize(
    ("files", "executables", "expected"),
    [
        ({"main.py": PYTHON}, "", ("python", "main.handler")),
        ({"app.py": b"async def lambda_handler(e, c): ..."}, "", ("python", "app.lambda_handler")),
        ({"one.py": b"handler = print"}, "", ("python", "one.handler")),
        ({"one.py": b"from lib import handle as handler"}, "", ("python", "one.handler")),
        ({"main.py": PYTHON, "other.py": PYTHON}, "", ("python", "main.handler")),
        ({"main.py": b"print(1)"}, "", ("python", "main.handler")),
        ({"index.js": NODE}, "", ("nodejs", "index.handler")),
        ({"app.mjs": b"export const handler = async () => 1;"}, "", ("nodejs", "app.handler")),
        ({"index.js": b"module.exports = { other, handler };"}, "", ("nodejs", "index.handler")),
        ({"go.mod": b"module x", "main.go": b"package main"}, "", ("go", "bootstrap")),
        ({"bootstrap": b"\x7fELF..."}, "bootstrap", ("provided", "bootstrap")),
        ({"bootstrap": b"#!/bin/sh", "app.py": PYTHON}, "bootstrap", ("python", "bootstrap")),
        ({"bootstrap": b"#!/bin/sh", "a.js": NODE}, "bootstrap", ("nodejs", "bootstrap")),
    ],
)
def test_what_runs_is_found(
    files: dict[str, bytes], executables: str, expected: tuple[str, str]
) -> None:
    """By the names and the contents of the files at the root."""
    found = find_entry_point(files, frozenset(executables.split()))

    assert expected == (found.runtime.value, found.handler)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.py": PYTHON, "b.py": PYTHON}, "several handlers: a.handler, b.handler.*--handler"),
        ({"main.py": PYTHON, "index.js": NODE}, "both Python and Node.js.*--runtime python"),
        ({"main.py": b"def handler(:"}, "main.py is no Python"),
        ({"bootstrap": b"#!/bin/sh"}, r"chmod \+x bootstrap"),
        ({"readme.txt": b""}, "no handler was found at its root .readme.txt."),
    ],
)
def test_a_choice_is_not_guessed(files: dict[str, bytes], words: str) -> None:
    """The message says what decides."""
    with pytest.raises(EntryPointError, match=words):
        find_entry_point(files, frozenset())
