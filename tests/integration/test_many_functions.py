"""Ten thousand invocations of fifty functions where only twenty sandboxes fit."""

import os
import random
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from shared.events import Outcome
from tests.contract.sandboxes import leftovers_of_state, make_factory, need_kind
from tests.fixtures_executor import MakeTurned

INVOCATIONS = 10_000
FUNCTIONS = 50
SANDBOXES = 20
SEED = 20_261_123


def source_of(number: int) -> dict[str, str]:
    """A function that leaves what it can leave, and says who it is."""
    return {
        "main.py": "import os, tempfile\n"
        "seen = set()\n"
        "def handler(event, context):\n"
        "    open(f'/tmp/{len(seen)}', 'w').close()\n"
        "    seen.add(context.function_name)\n"
        f"    return [{number}, sorted(seen)]\n"
    }


def count_children() -> int:
    """Child processes, those that ended and were not waited for too; each is a whole sandbox."""
    command = ["ps", "--ppid", str(os.getpid()), "--no-headers", "-o", "pid,args"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum("ps --ppid" not in line for line in listed.splitlines())


def count_files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*"))


@pytest.mark.timeout(900)
def test_fifty_functions_share_twenty_sandboxes(turned: MakeTurned, tmp_path: Path) -> None:
    """None fails, no sandbox serves two functions, nothing leaks."""
    need_kind("bubblewrap")
    children_before = count_children()
    factory = make_factory("bubblewrap", tmp_path / "sandboxes")
    running = turned(
        factory, sandboxes_max=SANDBOXES, memory_budget_mb=SANDBOXES * 128, generic_sandboxes_max=2
    )
    for number in range(FUNCTIONS):
        running.deploy(f"f{number}", source_of(number))
    chance = random.Random(SEED)
    popularity = [1 / (rank + 1) ** 1.2 for rank in range(FUNCTIONS)]  # as published: few have most
    functions = chance.choices(range(FUNCTIONS), popularity, k=INVOCATIONS)

    descriptors, files = [], []
    for begin in range(0, INVOCATIONS, INVOCATIONS // 10):
        part = functions[begin : begin + INVOCATIONS // 10]
        running.send([running.request(f"f{number}") for number in part])
        running.turn(len(part), seconds=240)
        descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        files.append(count_files(tmp_path / "sandboxes"))

    ended = running.ended()
    assert INVOCATIONS == len(ended)
    assert {Outcome.SUCCEEDED: INVOCATIONS} == Counter(
        event.execution.outcome for event in ended.values()
    )
    users = defaultdict(set)
    for event in ended.values():
        execution = event.execution
        users[execution.sandbox_id].add(execution.function_id)
        own_number = execution.function_id[1:]
        output = bytes(execution.answer.output).decode()
        assert f'[{own_number},["{execution.function_id}"]]' == output
    assert {1} == {len(functions) for functions in users.values()}
    assert len(users) > FUNCTIONS, "nothing was evicted: the test tests nothing"
    # Full from the first part on, so a leak would show as growth.
    assert max(descriptors[5:]) <= max(descriptors[:5]) + 40
    assert max(files[5:]) <= max(files[:5]) + 40
    running.executor.close()
    running.close = lambda: None  # type: ignore[method-assign]
    assert [] == leftovers_of_state(tmp_path / "sandboxes")
    assert children_before == count_children()
