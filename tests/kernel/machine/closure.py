"""Programs of this machine with the libraries they need, as a folder that can be a root.

A virtual machine that runs this machine's own programs needs no second installation of them, and
runs the very same versions.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages",
    "dist-packages", "config-3*", "pydoc_data", "*.a",
)  # fmt: skip


class Root:
    """A folder in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _LINKS:
            source = Path("/") / name
            if source.is_symlink():
                (folder / source.readlink()).mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(source.readlink())

    def add_program(self, path: Path) -> None:
        """A program, under the name it has here, with its libraries."""
        self._add_file(path)
        self._add_libraries(path)

    def add_library(self, name: str) -> None:
        """A library that a program opens by its name, if this machine has it."""
        done = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
        found = re.search(rf"\t{re.escape(name)} .*x86-64.* => (\S+)", done.stdout)
        if found is not None:
            self.add_program(Path(found[1]))

    def add_folder(self, source: Path) -> None:
        """A folder under the name it has here, with the libraries of the libraries in it."""
        target = self._place(source)
        shutil.copytree(source, target, symlinks=True, ignore=_LEFT_OUT, dirs_exist_ok=True)
        for extension in target.rglob("*.so"):
            self._add_libraries(source / extension.relative_to(target))

    def add_python(self, python: Path) -> None:
        """An interpreter and its standard library."""
        code = "import sys, sysconfig as s; print(sys.executable, s.get_path('stdlib'), sep='\\n')"
        done = subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, check=True
        )
        executable, library = map(Path, done.stdout.split("\n")[:2])
        self.add_program(executable)
        self.add_folder(library)
        if python.resolve() != executable:
            self._add_file(python)

    def add_packages(self, names: Iterable[str], target: str) -> None:
        """Installed Python distributions, in the folder `target`."""
        for name in names:
            for file in importlib.metadata.files(name) or ():
                if ".." in file.parts or file.is_relative_to("botocore/data"):
                    continue  # scripts; descriptions of services, which nobody calls there
                place = self.folder / target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                source = Path(str(file.locate()))
                shutil.copy2(source, place)
                if place.suffix == ".so":
                    self._add_libraries(source)

    def _add_libraries(self, path: Path) -> None:
        for library in find_libraries(path):
            self._add_file(library)

    def _add_file(self, path: Path) -> None:
        """With every link on the way to it."""
        target = self._place(path)
        if target.is_symlink() or target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
            self._add_file(path.parent / path.readlink())
        else:
            shutil.copy2(path, target)

    def _place(self, path: Path) -> Path:
        """Where it lies in this root: folders that are links stay links."""
        return self.folder / (path.parent.resolve() / path.name).relative_to("/")


def list_needed(names: Iterable[str]) -> set[str]:
    """Distributions with all that they require here."""
    needed: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in needed:
            continue
        needed.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return needed


def find_libraries(path: Path) -> Iterator[Path]:
    """What the dynamic linker would load for it, the linker too."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    for found in re.finditer(r"(?:=> )?(/\S+) \(0x", done.stdout):
        yield Path(found[1])


def find_program(name: str) -> Path | None:
    """Where it is, or None."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    return Path(found) if found else None


def own_python() -> Path:
    """The interpreter that runs this, outside of any virtual environment."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return Path(sysconfig.get_config_var("BINDIR")) / version
