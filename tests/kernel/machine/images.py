"""What the virtual machine boots from: a small archive that loads modules, and its disks.

Not here: which files are in them (`closure`), running it (`boot`).
"""

import hashlib
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kernel.machine.closure import Root, find_program, list_needed, own_python
from tests.kernel.machine.kernel import Kernel, UnavailableError

PROJECT = Path(__file__).parents[3]
_HERE = Path(__file__).parent
_PROGRAMS = (
    "sh", "env", "cat", "ls", "mkdir", "true", "sleep", "mount", "umount", "unshare", "setpriv",
    "nsenter", "ip", "bwrap", "prlimit",
)  # fmt: skip
_LOADER_PROGRAMS = ("sh", "perl", "mount", "switch_root")
_PACKAGES = (
    "boto3",
    "hiredis",
    "httptools",
    "msgspec",
    "prometheus-client",
    "redis",
    "pytest",
    "pytest-timeout",
)
_EMPTY_FOLDERS = (
    "proc", "sys", "dev", "run", "tmp", "var/tmp", "root", "mnt", "srv", "media", "project",
    "scratch",
)  # fmt: skip
_PARTS = ("executor", "profiler", "shared", "runtimes", "tests")


def make_loader(kernel: Kernel, target: Path) -> None:
    """The first thing the kernel runs: it loads the drivers and hands over to the first disk."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        root = Root(folder)
        for program in _LOADER_PROGRAMS:
            root.add_program(need_program(program))
        for number, (module, content) in enumerate(kernel.modules):
            place = folder / "modules" / f"{number:02}-{module}.ko"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        for empty in ("proc", "sys", "dev", "root"):
            (folder / empty).mkdir()
        shutil.copy(_HERE / "load.sh", folder / "init")
        (folder / "init").chmod(0o755)
        target.write_bytes(b"".join(format_archive(folder)))


def make_system(cache: Path) -> Path:
    """The first disk: this machine's Python and the programs of a sandbox; made once."""
    recipe = (_HERE / "images.py").read_text() + (_HERE / "closure.py").read_text()
    key = [sys.version, recipe, (_HERE / "start.sh").read_text()]
    key.append((PROJECT / "constraints.txt").read_text())
    digest = hashlib.sha256("".join(key).encode()).hexdigest()[:16]
    image = cache / f"system-{digest}.ext4"
    if image.exists():
        return image
    for old in cache.glob("system-*.ext4"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        root = Root(folder)
        for program in _PROGRAMS:
            root.add_program(need_program(program))
        root.add_library("libseccomp.so.2")
        for python in {own_python(), need_program("python3")}:
            root.add_python(python)
        root.add_packages(list_needed(_PACKAGES), "packages")
        (folder / "etc").mkdir()
        (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        for empty in _EMPTY_FOLDERS:
            (folder / empty).mkdir(parents=True, exist_ok=True)
        shutil.copy(_HERE / "start.sh", folder / "start.sh")
        _make_disk(image, folder, megabytes=400)
    return image


def make_project(target: Path) -> None:
    """The second disk: the project as it is now."""
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        for part in _PARTS:
            shutil.copytree(
                PROJECT / part,
                Path(name) / part,
                ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
            )
        shutil.copy(PROJECT / "pyproject.toml", name)
        _make_disk(target, Path(name), megabytes=32)


def make_scratch(target: Path) -> None:
    """The third disk: empty, to be written to."""
    _make_disk(target, None, megabytes=512)


def read_scratch(image: Path, folder: Path) -> None:
    """What the machine left in `results` on the third disk, laid out below `folder`."""
    debugfs = need_program("debugfs")
    subprocess.run(
        [debugfs, "-R", f"rdump results {folder}", image], check=True, capture_output=True
    )


def need_program(name: str) -> Path:
    """Where it is; raises UnavailableError."""
    found = find_program(name)
    if found is None:
        message = f"{name} is missing. Run: scripts/setup --test"
        raise UnavailableError(message)
    return found


def format_archive(folder: Path) -> Iterator[bytes]:
    """The folder as a cpio archive in the format that the kernel unpacks ("newc")."""
    for number, path in enumerate(sorted(folder.rglob("*")), 1):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = str(path.readlink()).encode()
        elif stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        yield _format_entry(str(path.relative_to(folder)), number, status.st_mode, content)
    yield _format_entry("TRAILER!!!", 0, 0, b"")


def _format_entry(name: str, number: int, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _pad(head + encoded) + _pad(content)


def _pad(text: bytes) -> bytes:
    return text + bytes(-len(text) % 4)


def _make_disk(target: Path, folder: Path | None, megabytes: int) -> None:
    mke2fs = need_program("mke2fs")
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    source = ["-d", str(folder)] if folder else []
    options = ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=0", *source]
    subprocess.run(
        [str(mke2fs), *options, str(partial), f"{megabytes}M"], check=True, capture_output=True
    )
    partial.rename(target)
