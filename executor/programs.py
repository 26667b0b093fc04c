"""What of a function's archive is run: its own bootstrap, one compiled of its sources, or neither.

Not here: fetching archives (`code_store`), compiling (`go_compiler` and the kinds of sandboxes).
"""

import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from executor.code_store import CodeRejectedError, CodeStore, StoredCode
from executor.go_compiler import Compilation, find_fault, has_go_sources
from shared.events import Runtime

BOOTSTRAP = "bootstrap"
_FAULTS_MAX = 256
_LOCKS = 64

Compile = Callable[[Path, Path], Compilation]


def has_own_bootstrap(code_dir: Path) -> bool:
    """Whether an archive brings an executable `bootstrap`, which then runs in any runtime."""
    try:
        mode = (code_dir / BOOTSTRAP).stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


class Programs:
    """Makes archives ready to run. Safe for several threads."""

    def __init__(self, code_store: CodeStore, compile_go: Compile) -> None:
        """`compile_go` compiles a folder to a file; it may block for minutes."""
        self._code_store = code_store
        self._compile_go = compile_go
        self._faults: OrderedDict[str, str] = OrderedDict()
        self._faults_lock = threading.Lock()
        # One thread compiles an archive, the others find it compiled; seldom do two archives share.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def find(self, runtime: Runtime, stored: StoredCode) -> StoredCode | None:
        """The same as `prepare` where nothing has to be waited for, or refused; else None."""
        if runtime not in (Runtime.GO, Runtime.PROVIDED) or has_own_bootstrap(stored.path):
            return stored
        return self._code_store.find_derived(stored, _derive_key(stored))

    def prepare(self, runtime: Runtime, stored: StoredCode) -> StoredCode:
        """The archive as it is run: itself, or what was compiled from it. Blocks.

        Raises CodeRejectedError for what the sender must mend, SandboxError where the compiler's
        sandbox fails; the archive stays pinned then.
        """
        if runtime not in (Runtime.GO, Runtime.PROVIDED) or has_own_bootstrap(stored.path):
            return stored
        if runtime is Runtime.GO and has_go_sources(stored.path):
            return self._compiled(stored)
        if (stored.path / BOOTSTRAP).exists():
            reason = "holds a bootstrap that is not executable: chmod +x bootstrap, then zip again"
        elif runtime is Runtime.GO:
            reason = "holds neither a compiled bootstrap nor Go sources at its root"
        else:
            reason = "holds no executable file named bootstrap at its root"
        raise CodeRejectedError("s3Key", f"the archive {reason}")

    def _compiled(self, stored: StoredCode) -> StoredCode:
        key = _derive_key(stored)
        with self._locks[int(key[:8], 16) % len(self._locks)]:
            found = self._code_store.find_derived(stored, key)
            if found is not None:
                return found
            fault = self._faults.get(key)
            if fault is None:
                return self._compile(stored, key)
        raise CodeRejectedError("s3Key", f"the archive {fault}")

    def _compile(self, stored: StoredCode, key: str) -> StoredCode:
        """Compile and publish. Raises CodeRejectedError where the sources are at fault."""
        with self._code_store.temporary() as folder:
            program = folder / BOOTSTRAP
            compilation = self._compile_go(stored.path, program)
            size_bytes = program.stat().st_size
            with program.open("rb") as file:
                fault = find_fault(compilation, file.read(4))
            if fault is not None:
                self._remember(key, fault)
                raise CodeRejectedError("s3Key", f"the archive {fault}")
            program.chmod(0o755)
            folder.chmod(0o755)
            return self._code_store.publish_derived(stored, key, folder, size_bytes)

    def _remember(self, key: str, fault: str) -> None:
        """So that sources that do not compile are not compiled at every call."""
        with self._faults_lock:
            self._faults[key] = fault
            if len(self._faults) > _FAULTS_MAX:
                self._faults.popitem(last=False)


def _derive_key(stored: StoredCode) -> str:
    """Of what the sources of an archive compile to, in the code cache."""
    return sha256(f"go/{stored.sha256}".encode()).hexdigest()
