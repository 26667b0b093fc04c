"""The pool inside a living executor: who is kept, frozen, retired and started how often."""

import os
import time
from pathlib import Path

import pytest

from executor.cgroups import read_own_cgroups
from executor.keep_alive import FixedKeepAlive
from executor.loop import FREEZE_AFTER_MS
from executor.policy import Policy, choose_policy
from executor.sandbox import Sandbox
from executor.seat import Seat
from shared.events import Outcome, SandboxStarted, Start
from tests.contract.sandboxes import (
    REAL_KINDS,
    ClosableFactory,
    leftovers_of_state,
    make_factory,
    need_kind,
)
from tests.fixtures_executor import MakeTurned, Turned

ONE = {"main.py": "def handler(event, context):\n    return 1\n"}
COUNTER = {
    "main.py": "calls = 0\n"
    "def handler(event, context):\n"
    "    global calls\n"
    "    calls += 1\n"
    "    return calls\n"
}
RESTLESS = {
    "main.py": "import threading\n"
    "def burn():\n"
    "    while True: pass\n"
    "def handler(event, context):\n"
    "    threading.Thread(target=burn, daemon=True).start()\n"
    "    return threading.active_count()\n"
}


@pytest.fixture
def fake(tmp_path: Path) -> ClosableFactory:
    return make_factory("process", tmp_path / "sandboxes")


@pytest.fixture(params=REAL_KINDS)
def real(request: pytest.FixtureRequest, tmp_path: Path) -> ClosableFactory:
    need_kind(request.param)
    return make_factory(request.param, tmp_path / "sandboxes")


@pytest.fixture
def running(turned: MakeTurned, fake: ClosableFactory) -> Turned:
    """Without generic sandboxes, and one function."""
    made = turned(fake, generic_sandboxes_max=0)
    made.deploy("f", ONE)
    return made


def idle_seats(turned: Turned) -> list[Seat]:
    return [idle.sandbox for idle in turned.executor.supply.pool._idle.values()]


def ready_generics(turned: Turned) -> list[Sandbox]:
    cots = turned.executor.supply.nursery._cots.values()
    return [sandbox for cot in cots for sandbox in cot.ready]


def wait_generic(turned: Turned, count: int) -> None:
    """Until that many generic sandboxes are ready."""
    deadline = time.monotonic() + 30
    while len(ready_generics(turned)) < count:
        turned.executor.supply.tend()
        turned.turn_for(0.05)
        assert time.monotonic() < deadline, "generic sandboxes did not come"


def cpu_ns(seat: Seat) -> int:
    """CPU time of a sandbox so far."""
    pid = int(seat.sandbox._pid)  # type: ignore[attr-defined]
    cgroups = read_own_cgroups(pid)
    if "cpuacct" in cgroups:
        return int((cgroups["cpuacct"] / "cpuacct.usage").read_text())
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 10_000_000


def test_an_idle_sandbox_expires_by_the_policy(running: Turned) -> None:
    """Its process and its folder go, and the next invocation starts cold."""
    running.executor.supply.pool.policy = Policy(FixedKeepAlive(1))
    running.invoke("f")
    (first,) = idle_seats(running)
    time.sleep(0.01)
    running.executor.supply.tend()
    pool = running.executor.supply.pool

    assert (0, 0) == (pool.idle_count, pool.busy_count)
    assert Start.COLD is running.invoke("f").execution.start
    assert first.sandbox._process.returncode is not None  # type: ignore[attr-defined]
    assert first not in idle_seats(running)


def test_what_is_used_stays(running: Turned) -> None:
    """By default a function that just came is kept; what came and what it cost is recorded."""
    pool = running.executor.supply.pool
    assert pool.policy == choose_policy("balanced", prewarm=False)
    running.invoke("f")
    running.executor.supply.tend()
    assert Start.WARM is running.invoke("f").execution.start
    known = pool.arrivals.of("f")

    assert (1, 1, 0, 2) == (pool.idle_count, known.alive, known.busy, known.begun)
    assert known.cold_ms > 0
    assert {0: 1.0} == known.levels[0].counts


def test_a_sandbox_for_one_invocation(running: Turned) -> None:
    """`reuse: false` neither takes a warm sandbox nor leaves one."""
    running.deploy("counter", COUNTER)
    outputs = [
        (ended.execution.start, bytes(ended.execution.answer.output))
        for ended in (
            running.invoke("counter", reuse=reuse) for reuse in (True, False, False, True)
        )
    ]

    cold, warm = (Start.COLD, b"1"), (Start.WARM, b"2")
    assert [cold, cold, cold, warm] == outputs
    assert running.executor.supply.pool.idle_count == 1


def test_a_burst_starts_one_sandbox_for_each_slot(
    turned: MakeTurned, fake: ClosableFactory
) -> None:
    """Fifty new functions at once on an empty pool: all answer, fifty sandboxes are started."""
    running = turned(fake, generic_sandboxes_max=0, sandboxes_max=50)
    names = [f"f{number}" for number in range(50)]
    for name in names:
        running.deploy(name, ONE)
    running.send([running.request(name) for name in names])
    running.turn(50)

    ended = running.ended().values()
    assert {(Outcome.SUCCEEDED, Start.COLD)} == {
        (event.execution.outcome, event.execution.start) for event in ended
    }
    started = [event for event in running.events() if isinstance(event, SandboxStarted)]
    assert (50, 50) == (len(started), len({event.sandbox_id for event in started}))
    assert 50 == len(leftovers_of_state(Path(fake._state._root)))  # type: ignore[attr-defined]


def test_a_burst_of_one_function_starts_what_it_needs(
    turned: MakeTurned, fake: ClosableFactory
) -> None:
    """Twenty calls at once with room for four sandboxes: four are started, all answer."""
    running = turned(fake, generic_sandboxes_max=0, sandboxes_max=4)
    running.deploy("f", ONE)
    running.send([running.request("f") for _ in range(20)])
    running.turn(20)

    starts = [event.execution.start for event in running.ended().values()]
    assert (4, 16) == (starts.count(Start.COLD), starts.count(Start.WARM))


def test_a_first_call_takes_a_generic_sandbox(turned: MakeTurned, real: ClosableFactory) -> None:
    """One was there before anybody called; each that is taken is replaced, and serves one alone."""
    running = turned(real, generic_sandboxes_max=1)
    generic = []
    ended = []
    for name in ("f", "g"):
        running.deploy(name, COUNTER)
        wait_generic(running, 1)
        generic.append(ready_generics(running)[0].id)
        ended.append(running.invoke(name, memory_mb=512, network="egress"))
    third = running.invoke("f", memory_mb=512, network="egress")

    assert generic == [event.execution.sandbox_id for event in ended]
    assert len(set(generic)) == 2
    assert [Start.COLD] * 2 == [event.execution.start for event in ended]
    assert (generic[0], Start.WARM) == (third.execution.sandbox_id, third.execution.start)
    limits = third.execution.limits
    assert limits is not None
    assert (512, b"2") == (limits.memory_mb, bytes(third.execution.answer.output))


def test_a_generic_sandbox_that_died_harms_nobody(
    turned: MakeTurned, real: ClosableFactory
) -> None:
    """Whoever would have got it gets one of its own."""
    running = turned(real, generic_sandboxes_max=1)
    running.deploy("f", ONE)
    wait_generic(running, 1)
    (generic,) = ready_generics(running)
    generic.meter.thaw()
    os.kill(generic._pid, 9)  # type: ignore[attr-defined]
    time.sleep(0.2)
    ended = running.invoke("f", network="egress")

    assert Outcome.SUCCEEDED is ended.execution.outcome
    assert generic.id != ended.execution.sandbox_id


def test_an_idle_sandbox_is_frozen(turned: MakeTurned, real: ClosableFactory) -> None:
    """What the function left running gets no CPU between calls, and goes on in the next."""
    running = turned(real, generic_sandboxes_max=0)
    running.deploy("f", RESTLESS)
    running.invoke("f", memory_mb=512)
    (seat,) = idle_seats(running)
    running.turn_for(FREEZE_AFTER_MS / 1_000 + 0.3)
    assert seat.frozen
    before = cpu_ns(seat)
    running.turn_for(0.5)

    assert before == cpu_ns(seat)
    ended = running.invoke("f", memory_mb=512)
    assert (Start.WARM, b"3") == (ended.execution.start, bytes(ended.execution.answer.output))


def test_nothing_is_left_of_a_closed_executor(
    turned: MakeTurned, real: ClosableFactory, tmp_path: Path
) -> None:
    """Neither of idle, frozen nor generic sandboxes."""
    running = turned(real, generic_sandboxes_max=2)
    running.deploy("f", RESTLESS)
    running.invoke("f")
    wait_generic(running, 1)
    running.turn_for(0.3)
    (seat,) = idle_seats(running)
    pid = seat.sandbox._pid  # type: ignore[attr-defined]
    running.executor.close()

    assert [] == leftovers_of_state(tmp_path / "sandboxes")
    assert not Path(f"/proc/{pid}").exists()
    running.close = lambda: None  # type: ignore[method-assign]
