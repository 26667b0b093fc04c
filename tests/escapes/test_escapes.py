"""Functions that try to get out, to get at others, or to use everything up: none may.

For each attempt: it ends with the right status, it got hold of nothing, and the next call of
another function is served on time. At the end the host is as it was.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.events import Runtime
from tests.contract.sandboxes import (
    REAL_KINDS,
    leftovers_of_state,
    make_spec,
    need_kind,
    started,
)
from tests.escapes.arena import INSIDE, SETTINGS, Arena
from tests.escapes.corpus import ATTEMPTS, TWO_GIGABYTES, Attempt
from tests.escapes.host import find_cgroups, find_lines, read_clock, take_snapshot
from tests.fakes.process_sandbox import ProcessFactory
from tests.fixtures_redis import RedisServer
from tests.fixtures_stack import stack_maker
from tests.requirements import need

PULSE_SECONDS = 5  # on a busy machine, the start of a new sandbox included
GROWTH_MB = 64
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=REAL_KINDS)
def arena(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arena]:
    """The attempts that were selected have been made when a test gets it."""
    kind = request.param
    need_kind(kind)
    need_kind(kind, Runtime.NODEJS)
    folder = tmp_path_factory.mktemp(kind)
    with stack_maker(folder) as make:
        arena = Arena(kind, *make(sandbox=kind, **SETTINGS), folder)
        try:
            arena.run(select(request.session.items, kind))
            yield arena
        finally:
            arena.close()


def select(items: list[pytest.Item], kind: str) -> list[Attempt]:
    """The attempts whose tests will look at this arena."""
    selected = []
    for item in items:
        parameters = getattr(item, "callspec", None)
        if parameters is not None and parameters.params.get("arena") == kind:
            attempt = parameters.params.get("attempt")
            if attempt is not None:
                selected.append(attempt)
    return selected


PAIRS = [(kind, attempt) for kind in REAL_KINDS for attempt in ATTEMPTS if kind in attempt.kinds]


@pytest.mark.parametrize(
    ("arena", "attempt"),
    PAIRS,
    ids=[f"{kind}-{attempt.id}" for kind, attempt in PAIRS],
    indirect=["arena"],
    scope="module",
)
def test_contained(arena: Arena, attempt: Attempt) -> None:
    """It ends as the corpus says, and the next call of another function is served on time."""
    document, pulse = arena.results[attempt.id], arena.pulses[attempt.id]
    output, error = document["output"], document["error"]

    assert [] == document["outputFiles"]
    expected = (attempt.status, attempt.error)
    assert expected == (document["status"], error and error["type"]), error
    if attempt.output is not None:
        assert attempt.output == output
    elif attempt.status == "SUCCESS":
        assert output["refused"] or output["got"], "nothing was tried"
        got = output["got"]
        assert bool(got) == (arena.kind in attempt.gaps), got
    assert ("SUCCESS", arena.secret) == (pulse["status"], pulse["output"]["secret"])
    assert (["secret"], []) == (pulse["output"]["files"], pulse["output"]["callers"])
    assert arena.pulse_seconds[attempt.id] < PULSE_SECONDS


def test_two_gigabytes_leave_the_executor_flat(arena: Arena) -> None:
    """What a function sends is never kept beyond what is agreed; others are served meanwhile."""
    before = arena.executor_memory_mb()
    arena.send(TWO_GIGABYTES, arena.describe())
    peak, slowest, number = 0.0, 0.0, 0
    while TWO_GIGABYTES.id not in arena.client.published:
        began = time.monotonic()
        arena.pulse(f"meanwhile-{number}")
        slowest = max(slowest, time.monotonic() - began)
        number += 1
        peak = max(peak, arena.executor_memory_mb())
    document = arena.client.published[TWO_GIGABYTES.id][0]

    # What follows the answer breaks the protocol; which of both is seen first is chance.
    assert document["status"] in ("SUCCESS", "CRASHED")
    assert peak < before + GROWTH_MB
    assert slowest < PULSE_SECONDS


def test_nobody_called(arena: Arena) -> None:
    """Nothing on the host and no neighbour was reached, over any address."""
    assert [] == arena.listeners.callers
    assert [] == arena.pulse("callers")["callers"]


def test_nothing_is_left(arena: Arena) -> None:
    """The executor that took all of it stops in good order; then the host is as it was."""
    executor = arena.stack.find("executor")
    sockets = arena.executor_sockets()
    arena.stack.terminate(["executor"])
    containers, ids = sorted(arena.containers), arena.sandbox_ids()
    state = Path(arena.stack.settings.state_dir).resolve()

    assert executor.returncode == 0
    assert sockets < 40
    assert len(ids) > 1
    assert [] == arena.left_processes()
    assert [] == find_cgroups(*ids, *containers)
    assert [] == find_lines("self/mountinfo", *ids, *containers)
    assert [] == [line for line in find_lines("net/unix", str(state)) if "redis" not in line]
    assert [] == leftovers_of_state(state)
    assert [] == arena.living_containers()
    assert arena.secret == arena.host_file.read_text()
    assert arena.host_before == take_snapshot()
    assert abs(arena.clock_before - read_clock()) < 2


SEEN_WITHOUT_WALLS = (
    "files.other_code", "files.shadow", "files.host_file", "files.host_programs",
    "files.sockets", "kernel.large_interfaces", "kernel.odd_sockets", "kernel.keyring",
    "kernel.host_signals", "kernel.privileges", "kernel.handles", "network.host_services",
)  # fmt: skip


@pytest.mark.parametrize("name", SEEN_WITHOUT_WALLS)
def test_attempts_can_succeed(name: str, tmp_path: Path, redis_server: RedisServer) -> None:
    """Where there are no walls the harmless attempts do get hold of something: they are real."""
    need(os.geteuid() == 0, "this shows what root would reach")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    where = {
        "attempt": name,
        "secret": "secret",
        "secret_files": [str(secret)],
        "search_root": str(tmp_path),
        "host_file": str(secret),
        "host_program": sys.executable,
        "host_pids": [os.getpid()],
        "host_services": [["127.0.0.1", redis_server.port]],
        "host_sockets": [str(redis_server.path)],
    }
    factory = ProcessFactory(tmp_path / "state")
    code = INSIDE / Runtime.PYTHON
    with started(factory, make_spec(code)) as dialogue:
        assert {} == dialogue.init()
        output = json.loads(dialogue.output(json.dumps(where).encode()))
    factory.close()

    assert [] != output["got"]
