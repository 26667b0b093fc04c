"""Reads the shell blocks of a page, runs them, and compares what they print with the page.

A block ```sh is run. A comment right above it changes that, and says so to who reads the source:

    <!-- not run: REASON -->       for what installs packages, for instance
    <!-- runs all the while -->    started before all others, ended after them
    <!-- exits N -->               its exit code, where it is not 0

A block ```text right below shows its output; they are compared loosely (`find_difference`).
Not here: which pages.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)$")
_COMMENT = re.compile(r"^<!-- (.*?) -->$")
_NOT_RUN, _ALL_THE_WHILE, _EXITS = "not run: ", "runs all the while", "exits "
_BLOCK_SECONDS = 50
# What a shell block begins with; another block that does so was forgotten to be marked.
_COMMANDS = (".venv/bin/", "make ", "hearth ", "honcho ", "docker", "pip ", "git ", "redis-cli ")


@dataclass
class Block:
    """A shell block of a page."""

    line: int
    text: str
    remark: str = ""
    expected: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is not run."""
        is_skipped = self.remark.startswith(_NOT_RUN)
        return self.remark.removeprefix(_NOT_RUN).strip() if is_skipped else None

    @property
    def runs_all_the_while(self) -> bool:
        """It ends with the page."""
        return self.remark == _ALL_THE_WHILE

    @property
    def exit_code(self) -> int:
        """What it is said to end with."""
        return int(self.remark.removeprefix(_EXITS)) if self.remark.startswith(_EXITS) else 0


@dataclass
class Fence:
    """Any fenced block: its language, its first line, and what is right above it."""

    language: str
    line: int
    text: str
    above: str


def read_fences(page: str) -> Iterator[Fence]:
    """All of a page, in order."""
    above, opened = "", None
    for number, line in enumerate(page.splitlines(), 1):
        found = _FENCE.match(line)
        if opened is not None:
            if line == "```":
                yield opened
                above, opened = "```", None
            else:
                opened.text += line + "\n"
        elif found:
            opened = Fence(found[1], number, "", above)
        elif line.strip():
            above = line


def read_blocks(page: str) -> list[Block]:
    """The shell blocks of a page, each with its output."""
    blocks: list[Block] = []
    previous = ""
    for fence in read_fences(page):
        remark = _COMMENT.match(fence.above)
        if fence.language == "sh":
            blocks.append(Block(fence.line, fence.text, remark[1] if remark else ""))
        elif fence.language == "text" and previous == "sh" and fence.above == "```":
            blocks[-1].expected = fence.text
        previous = fence.language
    return blocks


def list_unmarked(page: str) -> list[int]:
    """Lines of blocks that look like shell and are not marked as such."""
    return [
        fence.line
        for fence in read_fences(page)
        if fence.language == "" and fence.text.startswith(_COMMANDS)
    ]


def list_commands(text: str) -> list[str]:
    """The commands of a block: without comments, and what belongs to the line above."""
    commands, end = [], ""
    for line in text.splitlines():
        if end:
            end = "" if line == end else end
        elif line.strip() and not line.startswith((" ", "#")):
            commands += re.split(r" (?:&&|\|\|) |; ", line)
            here = re.search(r"<<-?'?(\w+)'?", line)
            end = here[1] if here else ""
    return commands


def run_block(block: Block, folder: Path, environment: Mapping[str, str]) -> str:
    """What it prints; a wrong exit code or another output is an AssertionError."""
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "-c", f"set -e\n{block.text}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_BLOCK_SECONDS,
    )
    where = f"line {block.line}:\n{block.text}"
    assert block.exit_code == done.returncode, f"{where}\nexit {done.returncode}\n{done.stdout}"
    if block.expected is not None:
        difference = find_difference(block.expected, done.stdout)
        assert difference is None, f"{where}\nno line {difference!r} in\n{done.stdout}"
    return done.stdout


def find_difference(expected: str, actual: str) -> str | None:
    """The first line that the output does not have in its place; None where all are there.

    Figures, ids and bars may differ, white space counts once, `...` stands for anything in a line,
    and a line of it for any lines.
    """
    lines = [_blur(line) for line in actual.splitlines() if line.strip()]
    position, may_skip = 0, False
    for line in expected.splitlines():
        if line.strip() == "...":
            may_skip = True
            continue
        if not line.strip():
            continue
        pattern = ".*".join(re.escape(part) for part in map(_blur, line.split("...")))
        pattern = pattern.replace(re.escape(" ") + ".*", ".*").replace(".*" + re.escape(" "), ".*")
        place = _find(pattern, lines, position, may_skip=may_skip)
        if place is None:
            return line
        position, may_skip = place + 1, False
    return None


def _find(pattern: str, lines: list[str], position: int, *, may_skip: bool) -> int | None:
    last = len(lines) if may_skip else min(position + 1, len(lines))
    for place in range(position, last):
        if re.fullmatch(pattern, lines[place]):
            return place
    return None


def _blur(line: str) -> str:
    text = re.sub(r"\b(\w+)-[0-9a-f]{8}\b", r"\1-ID", line)
    text = re.sub(r"-?\d[\d,.]*\d|-?\d", "0", text)
    return re.sub(r"[\s█▓▒▞▚░·]+", " ", text).strip() if text.strip() else ""
