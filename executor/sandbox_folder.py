"""What a sandbox leaves on the executor's disk: its folder, its socket, and whose it is.

Not here: the sandbox itself.

    <state_dir>/executors/<executor>.lock     held with flock while that executor lives
    <state_dir>/sandboxes/<id>/owner.json     which executor, which kind, which cgroups
    <state_dir>/sandboxes/<id>/run/           mounted into the sandbox as /run/hearth
    <state_dir>/sandboxes/<id>/run/launcher   for functions that bring their own bootstrap
    <state_dir>/sandboxes/<id>/output/        the same as /mnt/output, OUTPUT_DIR, writable
    <state_dir>/sandboxes/<id>/task/          of a generic sandbox: its /var/task, empty at first

A lock says more than a process id: the kernel lets go of it however the executor dies, ids are
never taken for another's, and it holds across containers that share the folder.
"""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, json

from executor.empty_folder import remove_folder
from executor.kept_rights import keep_rights
from shared.codec import UNREADABLE
from shared.logging import log_event

LOG = logging.getLogger(__name__)
LAUNCHER_NAME = "launcher"
_LAUNCHER = Path(__file__).parent / "function_launcher.pl"
_UNFINISHED_SECONDS = 60


class Owner(Struct, frozen=True, kw_only=True):
    """Whose a sandbox is and what of it lies outside its folder."""

    executor: str
    kind: str
    worker_id: str = ""
    cgroups: tuple[str, ...] = ()


class State:
    """One executor's part of the state folder."""

    def __init__(self, state_dir: Path) -> None:
        """Take the lock of a new executor."""
        self._root = state_dir.resolve()
        self.executor = secrets.token_hex(8)
        self.owner_label = sha256(str(self._root).encode()).hexdigest()[:16]
        self._locks.mkdir(parents=True, exist_ok=True)
        # Closed to other users of the host: the sockets in it are open to every uid.
        self._sandboxes.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _take_lock(self._lock_of(self.executor))
        if self._lock < 0:
            message = f"the new lock {self._lock_of(self.executor)} is taken already"
            raise RuntimeError(message)

    def create_folder(self, kind: str, worker_id: str) -> "SandboxFolder":
        """The folder of a new sandbox."""
        return SandboxFolder.create(
            self._sandboxes / secrets.token_hex(8),
            Owner(executor=self.executor, kind=kind, worker_id=worker_id),
        )

    def leftovers(self, kind: str) -> "Iterator[SandboxFolder]":
        """Folders of sandboxes of this kind whose executor is dead."""
        for path in sorted(self._sandboxes.iterdir()):
            folder = SandboxFolder.read(path)
            if folder is None:
                _remove_unfinished(path)
            elif folder.owner.kind == kind and not self.is_alive(folder.owner.executor):
                yield folder

    def is_alive(self, executor: str) -> bool:
        """Whether that executor still holds its lock. Removes the lock of a dead one."""
        if executor == self.executor:
            return True
        path = self._lock_of(executor)
        if not executor.isalnum() or not path.exists():
            return False
        lock = _take_lock(path)
        if lock < 0:
            return True
        path.unlink(missing_ok=True)
        os.close(lock)
        return False

    def close(self) -> None:
        """Let go of the lock: what is left of this executor's sandboxes may be reaped."""
        if self._lock >= 0:
            self._lock_of(self.executor).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    @property
    def _locks(self) -> Path:
        return self._root / "executors"

    @property
    def _sandboxes(self) -> Path:
        return self._root / "sandboxes"

    def _lock_of(self, executor: str) -> Path:
        return self._locks / f"{executor}.lock"


class SandboxFolder:
    """The folder of one sandbox."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self.id = path.name
        self.run = path / "run"
        self.task = path / "task"
        self.output = path / "output"

    @classmethod
    def create(cls, path: Path, owner: Owner) -> "SandboxFolder":
        """A new folder; the owner is written before anything else of the sandbox exists."""
        folder = cls(path, owner)
        folder.run.mkdir(parents=True)
        folder.run.chmod(0o755)  # whatever the umask: another uid looks for the socket in it
        folder.output.mkdir()
        folder.output.chmod(0o777)
        if os.geteuid() != 0:
            keep_rights(folder.output, os.geteuid())
        folder.note_cgroups(())
        return folder

    @classmethod
    def read(cls, path: Path) -> "SandboxFolder | None":
        """The folder of a sandbox that may be another executor's; None if it names no owner."""
        try:
            return cls(path, json.decode((path / "owner.json").read_bytes(), type=Owner))
        except (OSError, *UNREADABLE):
            return None

    def choose_task(self, code_dir: Path | None) -> Path:
        """What the sandbox sees as /var/task: the code, or a folder that will be filled."""
        if code_dir is not None:
            return code_dir.resolve()
        self.task.mkdir()
        self.task.chmod(0o755)
        return self.task

    def note_cgroups(self, cgroups: tuple[str, ...]) -> None:
        """Write down what must be removed besides the folder, before it exists."""
        self.owner = Owner(
            executor=self.owner.executor,
            kind=self.owner.kind,
            worker_id=self.owner.worker_id,
            cgroups=cgroups,
        )
        (self.path / "owner.json").write_bytes(json.encode(self.owner))

    def lay_launcher(self) -> None:
        """Put the program there that starts a function's own bootstrap."""
        launcher = self.run / LAUNCHER_NAME
        launcher.write_bytes(_LAUNCHER.read_bytes())
        launcher.chmod(0o644)

    def remove(self) -> None:
        """Remove it; may be called again. What a function made irremovable is told and left."""
        if not remove_folder(self.path):
            log_event(LOG, "sandbox.folder_left", level=logging.WARNING, folder=self.path)


def _remove_unfinished(path: Path) -> None:
    """A folder without an owner: its executor died in the middle of making it, or is making it."""
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
            remove_folder(path)


def _take_lock(path: Path) -> int:
    """A descriptor that holds the lock of `path`; negative if another process holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return -1
        # Between open and lock another executor may have found it unlocked and removed it.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)
