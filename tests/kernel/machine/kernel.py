"""Debian's kernels, fetched with apt and unpacked, for a virtual machine.

Nothing is installed: apt is given lists and a cache of its own, below `build/cgroup2`.
"""

import lzma
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SUITES = {"6.1": "bookworm", "6.12": "trixie"}
_KEYS = tuple(Path(f"/usr/share/keyrings/debian-archive-keyring.{end}") for end in ("gpg", "pgp"))
_META = "linux-image-cloud-amd64"
# In the order in which they need one another; what is built in has no file.
_MODULES = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "veth",
)
_APT_SECONDS = 240


class UnavailableError(Exception):
    """This machine cannot have the kernel; the message says what is missing."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel."""

    image: Path
    modules: tuple[tuple[str, bytes], ...]  # name and content, in loading order


def get_kernel(version: str, cache: Path) -> Kernel:
    """The newest Debian kernel of that series; fetched once. Raises UnavailableError."""
    if platform.machine() != "x86_64":
        message = f"the machine is made for x86_64, this is {platform.machine()}"
        raise UnavailableError(message)
    folder = cache / SUITES[version]
    if not (folder / "complete").exists():
        _fetch(SUITES[version], folder)
    image = next((folder / "root/boot").glob("vmlinuz-*"))
    return Kernel(image, tuple(_read_modules(folder / "root")))


def _find_mirror(folder: Path) -> str:
    """Where this machine's own packages come from; DEBIAN_MIRROR names another place."""
    named = os.environ.get("DEBIAN_MIRROR")
    if named:
        return named
    wanted = ("--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in _run("apt-get", "indextargets", *wanted, folder=folder).splitlines():
        codename, component, address = line.split(" ", 2)
        if codename in SUITES.values() and component == "main":
            return address
    message = "apt knows no Debian mirror here. Set DEBIAN_MIRROR to the address of one"
    raise UnavailableError(message)


def _fetch(suite: str, folder: Path) -> None:
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    keys = next((path for path in _KEYS if path.exists()), None)
    if keys is None:
        message = "Debian's keys are missing. Run: apt-get install debian-archive-keyring"
        raise UnavailableError(message)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={keys}] {_find_mirror(folder)} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder,
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
        "Acquire::Retries": "2",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _run("apt-get", *flags, "--quiet", "update", folder=folder)
    found = _run("apt-cache", *flags, "depends", _META, folder=folder)
    package = re.search(r"Depends: (linux-image-\S+)", found)
    if package is None:
        message = f"{_META} of {suite} names no kernel"
        raise UnavailableError(message)
    _run("apt-get", *flags, "--quiet", "download", package[1], folder=folder)
    _run("dpkg", "-x", str(next(folder.glob("linux-image-*.deb"))), "root", folder=folder)
    (folder / "complete").touch()


def _run(*command: str, folder: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=_APT_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or "").strip().rpartition("\n")[2]
        message = f"{command[0]} cannot fetch Debian's kernel: {said or error}"
        raise UnavailableError(message) from error
    return done.stdout


def _read_modules(root: Path) -> list[tuple[str, bytes]]:
    files = {path.name.partition(".")[0]: path for path in root.rglob("*.ko*")}
    return [
        (name, lzma.decompress(files[name].read_bytes()) if files[name].suffix == ".xz"
         else files[name].read_bytes())
        for name in _MODULES
        if name in files
    ]  # fmt: skip
