"""A command in a terminal of its own: what it draws, what it is typed, what it leaves behind.

The terminal is a pty; pyte reads what a person would see. Not here: any command.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte
from click.testing import CliRunner

from cli.main import main
from shared.settings import Settings, process_environment

ROOT = Path(__file__).parent.parent.parent
HEARTH = Path(sys.executable).with_name("hearth")
_LINES = 200  # so that nothing scrolls away


@dataclass
class Ended:
    """A command that ran to its end without a terminal."""

    code: int
    output: str
    errors: str


def make_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's own, with the settings of one stack and no other."""
    inherited = {
        name: value
        for name, value in process_environment().items()
        if name.lower() not in Settings.__struct_fields__
        and name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    return {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **settings}


def run(environment: Mapping[str, str], *arguments: str, given: str = "") -> Ended:
    """`hearth` as a program runs it: pipes on all sides."""
    done = subprocess.run(
        [HEARTH, *arguments],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_here(environment: Mapping[str, str], *arguments: str) -> Ended:
    """The same within this process: for what is said before anything is done."""
    done = CliRunner().invoke(main, list(arguments), env=environment, prog_name="hearth")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


class Terminal:
    """`hearth` as a person runs it."""

    def __init__(
        self, environment: Mapping[str, str], *arguments: str | Path, columns: int = 80
    ) -> None:
        self.screen = pyte.Screen(columns, _LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.is_as_before = False  # ended, with the modes that it found and the cursor to be seen
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.modes = self._read_modes()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", HEARTH, *arguments],  # so that Ctrl-C comes from the terminal
            env=environment,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )

    def press(self, keys: str) -> None:
        """As if on the keyboard; the control characters too."""
        os.write(self._master, keys.encode())

    def look(self) -> str:
        """What the screen shows now."""
        while self._read(0.1):
            pass
        return self.text

    def wait_for(self, words: str, seconds: float = 30) -> str:
        """Until the screen shows the words; what it shows then."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"no {words!r} on the screen:\n{self.text}"
            assert self._read(0.2) or self._process.poll() is None, self.text
        return self.text

    def wait(self, seconds: float = 60) -> int:
        """Until the command ends; its exit code."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            self._read(0.05)
        while self._read(0):
            pass
        self.is_as_before = self._read_modes() == self.modes and not self.screen.cursor.hidden
        return self._process.returncode

    @property
    def text(self) -> str:
        """What a person sees, without what is blank at the ends."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def _read_modes(self) -> Sequence[object]:
        return termios.tcgetattr(self._slave)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        text = os.read(self._master, 65_536)
        self.raw += text
        self._stream.feed(text)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        os.close(self._master)
        os.close(self._slave)
