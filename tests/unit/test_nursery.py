"""How many generic sandboxes are kept, and which are started, taken and given up."""

from executor.nursery import CALM_MS, REMEMBER_MS, REPLACE_MS, GenericKey, Nursery
from shared.events import Network, Runtime

PYTHON = GenericKey(Runtime.PYTHON, Network.EGRESS, 128)
NODEJS = GenericKey(Runtime.NODEJS, Network.EGRESS, 1_024)
PLENTY = 1 << 20


def fill(nursery: Nursery[int], now_ms: int, memory_mb: int = PLENTY) -> list[GenericKey]:
    """Start whatever is wanted, at once."""
    started: list[GenericKey] = []
    while (key := nursery.decide_start(now_ms, memory_mb)) is not None:
        nursery.add(key, len(started))
        started.append(key)
    return started


def test_nothing_is_started_for_nobody() -> None:
    """A kind that was never asked for costs nothing."""
    assert [] == fill(Nursery(4), 0)


def test_what_is_expected_is_there_for_the_first() -> None:
    """One is started before anybody asked, and not a second."""
    nursery: Nursery[int] = Nursery(4)
    nursery.expect(PYTHON, 0)

    assert [PYTHON] == fill(nursery, 0)
    assert 0 == nursery.take(PYTHON, 1)


def test_the_number_follows_the_misses() -> None:
    """Three at once and three are kept; three spread out, and one is."""
    for step_ms, expected in ((1, 3), (REPLACE_MS, 1)):
        nursery: Nursery[int] = Nursery(8)
        for number in range(3):
            assert nursery.take(PYTHON, number * step_ms) is None

        assert [PYTHON] * expected == fill(nursery, 3 * step_ms)


def test_the_number_is_bounded() -> None:
    """A burst of fifty does not fill the host; kinds share what there is."""
    nursery: Nursery[int] = Nursery(4)
    for _ in range(50):
        nursery.take(PYTHON, 0)
        nursery.take(NODEJS, 0)

    assert 2 * [PYTHON, NODEJS] == fill(nursery, 0)
    assert (4, 2 * 128 + 2 * 1_024) == (nursery.count, nursery.memory_mb)


def test_a_burst_of_another_kind_does_not_take_all() -> None:
    """Who asks for two gets two; the rest is for who asks for fifty."""
    nursery: Nursery[int] = Nursery(8)
    for _ in range(50):
        nursery.take(NODEJS, 0)
    for _ in range(2):
        nursery.take(PYTHON, 0)

    started = fill(nursery, 1_000)
    assert (2, 6) == (started.count(PYTHON), started.count(NODEJS))


def test_a_first_call_is_not_disturbed() -> None:
    """The one that it took is replaced in a moment, at once only where none is left."""
    nursery: Nursery[int] = Nursery(4)
    for _ in range(3):
        nursery.take(PYTHON, 0)
    fill(nursery, 0)

    assert nursery.take(PYTHON, 2_000) is not None
    assert nursery.decide_start(2_000 + CALM_MS - 1, PLENTY) is None
    assert PYTHON == nursery.decide_start(2_000 + CALM_MS, PLENTY)
    nursery.take(PYTHON, 3_000)
    nursery.take(PYTHON, 3_000)
    assert PYTHON == nursery.decide_start(3_000, PLENTY)


def test_memory_bounds_it_too() -> None:
    """A kind that does not fit leaves room to one that does."""
    nursery: Nursery[int] = Nursery(2)
    nursery.take(NODEJS, 0)
    nursery.take(PYTHON, 0)

    assert nursery.decide_start(0, 127) is None
    assert PYTHON == nursery.decide_start(0, 128)


def test_what_starts_counts() -> None:
    """While one starts, no second is started for the same miss; a failed one is not retried."""
    nursery: Nursery[int] = Nursery(4)
    nursery.take(PYTHON, 0)

    assert PYTHON == nursery.decide_start(0, PLENTY)
    assert nursery.decide_start(1, PLENTY) is None
    nursery.fail(PYTHON)
    assert nursery.decide_start(2, PLENTY) is None
    nursery.take(PYTHON, 3)
    assert PYTHON == nursery.decide_start(3, PLENTY)


def test_the_forgotten_goes() -> None:
    """The busiest moment counts for ten minutes; then the next busiest, then none."""
    nursery: Nursery[int] = Nursery(4)
    for now_ms in (0, 0, 0, 300_000, 300_000, 500_000):
        nursery.take(PYTHON, now_ms)
    fill(nursery, 500_000)

    left = []
    for now_ms in (REMEMBER_MS - 1, REMEMBER_MS, 300_000 + REMEMBER_MS, 500_000 + REMEMBER_MS):
        nursery.take_surplus(now_ms)
        left.append(nursery.count)
    assert [3, 2, 1, 0] == left


def test_memory_is_given_up_for_functions() -> None:
    """No more than is needed, and of the kind that is about to be needed last."""
    nursery: Nursery[str] = Nursery(4)
    for key, name in ((PYTHON, "python"), (NODEJS, "nodejs")):
        nursery.take(key, 0)
        assert key == nursery.decide_start(0, PLENTY)
        nursery.add(key, name)

    assert [] == nursery.give_up(0, PYTHON)
    assert ["nodejs"] == nursery.give_up(1, PYTHON)
    assert ["python"] == nursery.give_up(1, PYTHON)
    assert [] == nursery.give_up(1, PYTHON)


def test_all_are_drained() -> None:
    """At the end none is left."""
    nursery: Nursery[int] = Nursery(4)
    nursery.expect(PYTHON, 0)
    fill(nursery, 0)

    assert [0] == nursery.drain()
    assert [] == nursery.drain()
