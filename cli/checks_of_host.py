"""What `hearth doctor` says of this machine: sandboxes, how exactly they are measured, versions.

Not here: sandboxes. One is started and destroyed, which tells more than any look at the kernel.
"""

import importlib
import platform
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from cli.check import Check, fail, ok, warn
from executor.cgroups import UNIFIED, read_cgroups_of_self
from executor.sandbox import SandboxError, SandboxFactory, SandboxSpec
from shared.events import Accuracy, Limits, Network, Runtime
from shared.settings import Settings

_PACKAGES = ("hearth", "redis", "hiredis", "boto3", "msgspec", "docker")
_ACCURACIES = {
    Accuracy.EXACT: "memory peaks of each call are exact",
    Accuracy.PROCESS_EXACT: "memory peaks are exact for functions without children",
    Accuracy.UPPER_BOUND: "memory peaks are the highest of a sandbox's lifetime",
    Accuracy.NONE: "memory is not measured",
}


def check_host(settings: Settings) -> Iterator[Check]:
    """What an executor here would find."""
    yield describe_cgroups()
    yield from check_sandbox(settings)
    yield ok("versions", ", ".join(list_versions()))


def describe_cgroups() -> Check:
    """Which version counts memory here; alone it promises nothing, so it is never a fault."""
    kernel = platform.release()
    try:
        mine = read_cgroups_of_self()
    except OSError as error:
        return warn("cgroup", f"cannot be read: {error}", "run Hearth on Linux")
    if "memory" in mine:
        return ok("cgroup", f"version 1, Linux {kernel}")
    if UNIFIED in mine:
        return ok("cgroup", f"version 2, Linux {kernel}")
    mend = "mount cgroups: without them sandboxes of bubblewrap have no limit"
    return warn("cgroup", f"none is mounted, Linux {kernel}", mend)


def check_sandbox(settings: Settings) -> Iterator[Check]:
    """Start the sandbox that SANDBOX asks for, and ask its meter."""
    # Imported only now: it counts calls to the engine, in the folder of a stage's metrics.
    choose = importlib.import_module("executor.choose_sandbox").choose_factory
    with tempfile.TemporaryDirectory(prefix="hearth-") as place:
        # An executor in a container shares its folder with the engine's host, and no other one.
        known = Path(settings.state_dir)
        folder = str(known if known.is_dir() else place)
        try:
            factory, why = choose(_in_folder(settings, folder))
        except SandboxError as error:
            mend = "apt-get install bubblewrap, or start a Docker Engine and run `make images`"
            yield fail("sandbox", str(error).rstrip("."), mend)
            return
        try:
            yield from _try(factory, why)
        finally:
            factory.close()


def _try(factory: SandboxFactory, why: str) -> Iterator[Check]:
    spec = SandboxSpec(
        runtime=Runtime.PYTHON,
        limits=Limits(memory_mb=128, timeout_ms=5_000),
        network=Network.NONE,
    )
    try:
        sandbox = factory.start(spec)
    except SandboxError as error:
        yield fail("sandbox", f"{factory.kind}: {error}".rstrip("."), "mend it, or set SANDBOX")
        return
    try:
        yield ok("sandbox", f"{factory.kind}. {why.rstrip('.')}")
        yield judge_accuracy(sandbox.meter.source, sandbox.meter.accuracy)
    finally:
        sandbox.destroy()


def judge_accuracy(source: str, accuracy: Accuracy) -> Check:
    """How far the figures of a sandbox here may be trusted."""
    said = f"{source}, {_ACCURACIES[accuracy]}"
    if accuracy is Accuracy.EXACT:
        return ok("measuring", said)
    if source == "process":
        mend = "no cgroup may be made, so nothing is limited either: run as root, or use Docker"
        return warn("measuring", said, mend)
    return warn("measuring", said, "Linux 6.12 or newer counts each call's own peak")


def list_versions() -> Iterator[str]:
    """Of Hearth, Python and the libraries that talk to others."""
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    yield f"Python {platform.python_version()}"


def _in_folder(settings: Settings, folder: str) -> Settings:
    return msgspec.structs.replace(settings, state_dir=folder)
