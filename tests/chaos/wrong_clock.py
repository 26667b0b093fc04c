"""A wall clock that jumps, for some processes: made by the C compiler of this machine.

Not here: when it jumps (`plan`).
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


def can_compile() -> bool:
    """Whether this machine has a C compiler."""
    return shutil.which("cc") is not None


class WrongClock:
    """By how much the clock of the processes with `environment` is wrong."""

    def __init__(self, folder: Path, name: str) -> None:
        self._library = folder / "wrong_clock.so"
        if not self._library.exists():
            command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE)]
            subprocess.run(command, check=True)
        self._file = folder / f"clock-{name}"
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        """For the processes whose clock this is."""
        return {
            "LD_PRELOAD": os.fspath(self._library),
            "WRONG_CLOCK_FILE": os.fspath(self._file),
        }

    def set(self, wrong_by_s: float) -> None:
        """It jumps now."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", int(wrong_by_s)))
