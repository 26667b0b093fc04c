"""The pool: who is reused, who goes, what is never done."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from executor.keep_alive import FixedKeepAlive, KeepAlive
from executor.policy import GreedyDual, LeastRecentlyUsed, Policy, PolicyName, choose_policy
from executor.pool import Decision, Pool, PoolKey
from tests.unit.test_policy import gaps_of

A: PoolKey = ("a",)
B: PoolKey = ("b",)
MINUTE_MS = 60_000


def make_pool(policy: Policy | None = None, memory_mb_max: int = 1_024) -> Pool[str]:
    return Pool(4, memory_mb_max, policy or Policy())


def run(pool: Pool[str], key: PoolKey, name: str, now_ms: int, memory_mb: int = 128) -> list[str]:
    """One cold invocation; returns who was evicted for it."""
    decision, evicted = pool.reserve(key, memory_mb, now_ms)
    assert decision is Decision.START
    pool.give_back(key, memory_mb, name, now_ms)
    return evicted


def fill(pool: Pool[str], key: PoolKey, names: str) -> None:
    """Several of one function, idle one after the other."""
    for _ in names:
        assert pool.reserve(key, 128, 0) == (Decision.START, [])
    for number, name in enumerate(names):
        pool.give_back(key, 128, name, number)


def test_the_last_used_is_used_first() -> None:
    pool = make_pool()
    fill(pool, A, "xyz")

    assert ["z", "y", "x", None] == [pool.take(A, 10) for _ in range(4)]


def test_a_sandbox_never_serves_another_key() -> None:
    pool = make_pool()
    run(pool, A, "x", 0)

    assert pool.take(B, 1) is None


def test_the_sandboxes_of_a_changed_function_retire() -> None:
    """A minute after their last call, not before: both versions may be called for a while."""
    pool = make_pool(Policy(FixedKeepAlive(10 * MINUTE_MS)))
    old, new = ("f", "old code"), ("f", "new code")
    run(pool, old, "old", 0)
    run(pool, ("g", "code"), "other", 0)
    run(pool, new, "new", 1_000)
    assert "old" == pool.take(old, 30_000)
    pool.give_back(old, 128, "old", 31_000)

    assert [] == pool.take_due(90_999).expired
    assert ["old"] == pool.take_due(91_000).expired
    assert ["other", "new"] == pool.take_due(11 * MINUTE_MS).expired


def test_an_idle_sandbox_of_old_code_is_not_kept_for_its_turn() -> None:
    """It had been promised ten minutes when the code changed."""
    pool = make_pool(Policy(FixedKeepAlive(10 * MINUTE_MS)))
    run(pool, ("f", "old code"), "old", 0)
    run(pool, ("f", "new code"), "new", 1_000)

    assert ["old"] == pool.take_due(61_000).expired


def test_room_is_made_by_the_least_recently_used() -> None:
    pool = make_pool(memory_mb_max=384)
    for number, name in enumerate("xyz"):
        run(pool, (name,), name, number)
    taken = pool.take(("x",), 5)
    pool.give_back(("x",), 128, "x", 6)

    assert taken == "x"
    assert ["y", "z"] == run(pool, A, "new", 7, memory_mb=256)


def test_greedy_dual_evicts_the_seldom_used_first() -> None:
    """The often used one is older, and stays; then the clock has moved on."""
    pool = make_pool(Policy(FixedKeepAlive(), GreedyDual()), memory_mb_max=256)
    for key in (A, B):
        pool.record_cold(key, 100)
    run(pool, A, "often", 0)
    for now_ms in (1, 2):
        pool.take(A, now_ms)
        pool.give_back(A, 128, "often", now_ms)
    run(pool, B, "seldom", 3)

    assert ["seldom"] == run(pool, ("c",), "new", 4)
    assert ["new"] == run(pool, B, "seldom again", 5)
    assert ["seldom again"] == run(pool, ("c",), "new again", 6)


def test_what_is_large_waits_while_others_run() -> None:
    """Nobody is evicted for what would not fit anyway."""
    pool = make_pool(memory_mb_max=256)
    run(pool, A, "idle", 0)
    assert pool.reserve(B, 128, 1) == (Decision.START, [])

    assert (Decision.WAIT, []) == pool.reserve(("c",), 256, 2)
    assert 1 == pool.idle_count


def test_idle_sandboxes_expire_when_the_policy_says() -> None:
    pool = make_pool()
    run(pool, A, "x", 0)
    run(pool, B, "y", MINUTE_MS)

    assert 10 * MINUTE_MS == pool.next_due_ms()
    assert [] == pool.take_due(10 * MINUTE_MS - 1).expired
    assert ["x"] == pool.take_due(10 * MINUTE_MS).expired
    assert ["y"] == pool.take_due(11 * MINUTE_MS).expired
    assert (0, 0, 0) == (pool.idle_count, pool.busy_count, pool.memory_mb)


def test_a_use_starts_the_time_anew() -> None:
    pool = make_pool()
    run(pool, A, "x", 0)
    pool.take(A, 9 * MINUTE_MS)

    assert [] == pool.take_due(10 * MINUTE_MS).expired
    pool.give_back(A, 128, "x", 12 * MINUTE_MS)
    assert [] == pool.take_due(21 * MINUTE_MS).expired
    assert ["x"] == pool.take_due(22 * MINUTE_MS).expired


def make_timer(period_min: int = 60) -> Pool[str]:
    """A pool that knows a timer of that period; it ran last at 0."""
    pool = make_pool(choose_policy("balanced", prewarm=True))
    pool.arrivals.of("a").levels.append(gaps_of(*[period_min] * 5))
    run(pool, A, "x", 0)
    return pool


def test_a_timer_gets_its_sandbox_ahead() -> None:
    """Its last one goes at once; the next is asked for 59 minutes later, and goes again at 61."""
    pool = make_timer()

    assert ["x"] == pool.take_due(0).expired
    assert [] == pool.take_due(59 * MINUTE_MS - 1).ahead
    (ahead,) = pool.take_due(59 * MINUTE_MS).ahead
    assert (1, 128) == (pool.busy_count, pool.memory_mb)
    pool.add_ahead(ahead, "next")
    assert 1 == pool.idle_count
    assert ["next"] == pool.take_due(61 * MINUTE_MS).expired


def test_nothing_is_started_ahead_of_what_came_already() -> None:
    pool = make_timer()
    pool.take_due(0)
    run(pool, A, "early", 30 * MINUTE_MS)
    pool.take_due(30 * MINUTE_MS)

    assert [] == pool.take_due(59 * MINUTE_MS).ahead
    assert 1 == len(pool.take_due(89 * MINUTE_MS).ahead)


def test_nobody_goes_for_what_is_started_ahead() -> None:
    pool = make_timer()
    pool.take_due(0)
    for name in "bcde":
        run(pool, (name,), name, 50 * MINUTE_MS)

    assert [] == pool.take_due(59 * MINUTE_MS).ahead
    assert 4 == pool.idle_count


def test_who_died_idle_is_gone() -> None:
    pool = make_pool()
    run(pool, A, "x", 0)

    assert pool.remove_idle("x")
    assert not pool.remove_idle("x")
    assert pool.take(A, 1) is None
    assert [] == pool.take_due(10 * MINUTE_MS).expired


def test_old_expiries_do_not_pile_up() -> None:
    """A sandbox that is used all the time leaves nothing behind."""
    pool = make_pool()
    run(pool, A, "x", 0)
    for now_ms in range(10_000):
        pool.take(A, now_ms)
        pool.give_back(A, 128, "x", now_ms)

    assert len(pool._expiries) < 100


def test_drain_empties_the_pool() -> None:
    pool = make_pool()
    fill(pool, A, "xyz")

    assert ["x", "y", "z"] == pool.drain()
    assert (0, 0) == (pool.idle_count, pool.memory_mb)


@pytest.mark.parametrize("evict", [LeastRecentlyUsed(), GreedyDual()])
@given(order=st.permutations("abcd"))
def test_every_eviction_ends(evict: LeastRecentlyUsed | GreedyDual, order: list[str]) -> None:
    """Whatever the rank, room is made with whom there is."""
    pool = make_pool(Policy(FixedKeepAlive(), evict), memory_mb_max=512)
    for now_ms, name in enumerate(order):
        run(pool, (name,), name, now_ms)

    assert set("abcd") == set(run(pool, ("big",), "big", 9, memory_mb=512))


class PoolMachine(RuleBasedStateMachine):
    """Any order of events, under every policy, against a plain list of what should be there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.serial = 0
        self.busy: list[tuple[PoolKey, int, str]] = []
        self.idle: list[tuple[PoolKey, int, str]] = []
        self.pool: Pool[str] = make_pool()

    @precondition(lambda self: not self.busy and not self.idle)
    @rule(
        name=st.sampled_from(["balanced", "fixed", "histogram", "greedy_dual"]), pre=st.booleans()
    )
    def choose(self, name: PolicyName, pre: bool) -> None:
        self.pool = make_pool(choose_policy(name, prewarm=pre))

    @rule(minutes=st.floats(0, 90))
    def pass_time(self, minutes: float) -> None:
        self.now_ms += int(minutes * MINUTE_MS)
        due = self.pool.take_due(self.now_ms)
        for name in due.expired:
            self.leave(name)
        for ahead in due.ahead:
            self.serial += 1
            self.pool.add_ahead(ahead, f"s{self.serial}")
            self.idle.append((ahead.key, ahead.memory_mb, f"s{self.serial}"))

    @rule(key=st.sampled_from("abcde"), memory_mb=st.sampled_from([128, 256, 512, 1_024]))
    def invoke(self, key: str, memory_mb: int) -> None:
        place = (key, memory_mb)
        mine = [name for other, _, name in self.idle if other == place]
        taken = self.pool.take(place, self.now_ms)
        assert taken == (mine[-1] if mine else None), "the last used is used first"
        if taken is None:
            decision, evicted = self.pool.reserve(place, memory_mb, self.now_ms)
            for name in evicted:
                self.leave(name)
            if decision is Decision.WAIT:
                assert not evicted
                return
            self.serial += 1
            taken = f"s{self.serial}"
        else:
            self.leave(taken)
        self.busy.append((place, memory_mb, taken))

    @precondition(lambda self: self.busy)
    @rule(which=st.integers(0, 100), healthy=st.booleans())
    def end(self, which: int, healthy: bool) -> None:
        key, memory_mb, name = self.busy.pop(which % len(self.busy))
        if healthy:
            self.pool.give_back(key, memory_mb, name, self.now_ms)
            self.pool.record_cold(key, 100)
            self.idle.append((key, memory_mb, name))
        else:
            self.pool.forget(key, memory_mb, self.now_ms)

    def leave(self, name: str) -> None:
        """Only who is idle may leave: never one that is busy."""
        self.idle.remove(next(entry for entry in self.idle if entry[2] == name))

    @invariant()
    def budget_holds(self) -> None:
        used = sum(memory_mb for _, memory_mb, _ in self.busy + self.idle)
        assert (len(self.busy), len(self.idle)) == (self.pool.busy_count, self.pool.idle_count)
        assert used == self.pool.memory_mb <= self.pool.memory_mb_max
        assert len(self.busy) + len(self.idle) <= self.pool.sandboxes_max

    @invariant()
    def arrivals_agree(self) -> None:
        for name in "abcde":
            function = self.pool.arrivals.of(name)
            assert function.busy == sum(key[0] == name for key, _, _ in self.busy)
            assert function.alive == sum(key[0] == name for key, _, _ in self.busy + self.idle)


TestPoolInAnyOrder = PoolMachine.TestCase


def test_any_rule_can_be_plugged_in() -> None:
    """A rule is a value with one method."""
    rule_: KeepAlive = FixedKeepAlive(1)

    pool = make_pool(Policy(rule_))
    run(pool, A, "x", 0)
    assert ["x"] == pool.take_due(1).expired


def make_known(run_ms: float, cold_ms: float) -> Pool[str]:
    """A pool of four in which one sandbox of A is busy, and A's times are known."""
    pool = make_pool()
    assert pool.reserve(A, 128, 0) == (Decision.START, [])
    pool.record_cold(A, cold_ms)
    pool.record_run(A, run_ms)
    return pool


def test_a_short_run_is_waited_for() -> None:
    """A sandbox that is free in a moment is there before a new one is, until it is not."""
    pool = make_known(run_ms=1, cold_ms=100)

    assert pool.reserve(A, 128, 1, waited_ms=0) == (Decision.WAIT, [])
    assert pool.reserve(A, 128, 99, waited_ms=99) == (Decision.WAIT, [])
    assert pool.reserve(A, 128, 100, waited_ms=100) == (Decision.START, [])


def test_many_short_waits_add_up() -> None:
    """Whoever is always waited for a little is worth another sandbox; then it begins anew."""
    pool = make_known(run_ms=1, cold_ms=100)
    for _ in range(49):
        assert pool.reserve(A, 128, 1, waited_ms=2) == (Decision.WAIT, [])
        pool.record_wait(A, 2)

    assert pool.reserve(A, 128, 2, waited_ms=2) == (Decision.START, [])
    assert pool.reserve(A, 128, 3, waited_ms=2) == (Decision.WAIT, [])


def test_a_long_run_is_not_waited_for() -> None:
    """Nor an unknown one, nor one of another function."""
    assert make_known(run_ms=100, cold_ms=50).reserve(A, 128, 1, waited_ms=0)[0] is Decision.START
    unknown = make_pool()
    unknown.reserve(A, 128, 0)
    assert unknown.reserve(A, 128, 1, waited_ms=0)[0] is Decision.START
    assert make_known(1, 100).reserve(B, 128, 1, waited_ms=0)[0] is Decision.START


def test_another_functions_sandbox_is_worth_a_longer_wait() -> None:
    """Whoever is evicted will have to start again."""
    pool = make_known(run_ms=1, cold_ms=100)
    fill(pool, B, "xyz")

    assert pool.reserve(A, 128, 150, waited_ms=150) == (Decision.WAIT, [])
    assert pool.reserve(A, 128, 200, waited_ms=200) == (Decision.START, ["x"])
