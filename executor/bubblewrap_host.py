"""What bubblewrap needs of the host: programs, user namespaces, and an /etc to show.

Not here: sandboxes.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from executor.bubblewrap_command import FILES_MADE_UP, PATH_INSIDE
from executor.sandbox import RuntimeMissingError, SandboxError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS_OF_ROOT = ("unshare", "setpriv", "mount")
_PACKAGES = {"node": "nodejs"}
_SHOWN = ("/usr", "/bin")
_PROBE_SECONDS = 10
_NAMESPACE_SETTINGS = (  # name, the value that forbids them, one that allows them
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


def check_bubblewrap() -> None:
    """Raises SandboxError that says how to get what is missing."""
    if shutil.which("bwrap", path=PATH) is None:
        message = "bwrap is not installed. Run: apt-get install bubblewrap"
        raise SandboxError(message)
    for tool in _TOOLS_OF_ROOT if os.geteuid() == 0 else ():
        if shutil.which(tool, path=PATH) is None:
            message = f"{tool} is not installed. Run: apt-get install util-linux mount"
            raise SandboxError(message)


def probe_bubblewrap(command: Sequence[str]) -> None:
    """Run a sandbox that does nothing: what the host forbids is told now, not at the first call.

    Raises SandboxError.
    """
    try:
        probe = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd="/",
            env={"PATH": PATH},
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"bubblewrap does not work on this host: {error}. {_advise()}"
        raise SandboxError(message) from error
    if probe.returncode != 0:
        said = probe.stderr.decode("utf-8", "replace").strip()
        message = f"bubblewrap does not work on this host: {said}. {_advise()}"
        raise SandboxError(message)


def need_programs(names: Sequence[str]) -> None:
    """Raises RuntimeMissingError where programs are missing or lie outside of what is shown."""
    for name in names:
        found = shutil.which(name, path=PATH_INSIDE)
        if found is not None and any(map(Path(found).resolve().is_relative_to, _SHOWN)):
            continue
        elsewhere = found or shutil.which(name)
        message = f"{name} is not installed."
        if elsewhere is not None:
            place = Path(elsewhere).resolve()
            message = f"{place} is not seen by sandboxes, which are shown /usr alone."
        raise RuntimeMissingError(f"{message} Run: apt-get install {_PACKAGES.get(name, name)}")


def find_processes_max(processes_max: int) -> int | None:
    """The limit to set where no cgroup counts processes; None where it would count others' too."""
    # Since 5.14 Linux counts a user's processes in each user namespace for itself.
    release = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    has_tool = shutil.which("prlimit", path=PATH_INSIDE) is not None
    return processes_max if has_tool and release >= (5, 14) else None


def write_etc(folder: Path) -> Path:
    """What /etc of every sandbox holds instead of the host's."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, text in FILES_MADE_UP.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            draft = folder / f".{name}.{os.getpid()}"
            draft.write_text(text)
            draft.chmod(0o644)
            draft.replace(path)
    return folder


def _advise() -> str:
    for setting, off, on in _NAMESPACE_SETTINGS:
        with suppress(OSError):
            if (Path("/proc/sys") / setting.replace(".", "/")).read_text().strip() == off:
                return f"User namespaces are disabled. Run as root: sysctl -w {setting}={on}"
    return "In a container, run it privileged; else run Hearth on the host or set SANDBOX=docker"
