"""The formula for the kernel's bandwidth control against the kernel's algorithm, tick by tick."""

import pytest

from tuner.bandwidth import Work, estimate_stall_us, grant_quota_us

PERIOD, TICK, SLICE = 20_000.0, 4_000.0, 5_000.0  # microseconds; CFS at 250 Hz


def simulate(cpu: float, quota: float, first_tick: float, first_refill: float) -> float:
    """Wall time of one burst: charged at ticks, stopped in debt, refilled each period."""
    now, done, pool, local = 0.0, 0.0, quota, 0.0
    tick, refill, runs = first_tick, first_refill, True
    while True:
        if not runs:
            now, pool, refill = refill, quota, refill + PERIOD
            paid = min(-local + 1e-6, pool)
            pool, local = pool - paid, local + paid
            runs = local > 0
            while tick <= now:
                tick += TICK
            continue
        until = min(tick, refill, now + cpu - done)
        done, local, now = done + until - now, local - (until - now), until
        if done >= cpu - 1e-6:
            return now
        if now == refill:
            pool, refill = quota, refill + PERIOD
        if now == tick:
            tick += TICK
            if local <= 0:
                taken = min(SLICE - local, pool)
                pool, local = pool - taken, local + taken
                runs = local > 0


@pytest.mark.parametrize("memory_mb", [128, 192, 256, 512, 768, 1024])
@pytest.mark.parametrize("cpu_ms", [14, 22, 32, 50, 200])
def test_the_formula_follows_the_algorithm(memory_mb: int, cpu_ms: int) -> None:
    """Averaged over where ticks and refills fall, within 8 % or two milliseconds."""
    quota = grant_quota_us(memory_mb, 20_000)
    runs = [
        simulate(cpu_ms * 1_000, quota, (j + 0.5) * TICK / 8, (i + 0.5) * PERIOD / 10)
        for i in range(10)
        for j in range(8)
    ]
    expected = sum(runs) / len(runs)
    stall_us = estimate_stall_us(Work(cpu_ms * 1_000, 0), quota, PERIOD)

    assert expected == pytest.approx(cpu_ms * 1_000 + stall_us, rel=0.08, abs=2_000)


def test_more_quota_never_stops_for_longer() -> None:
    """Nor do fewer bursts stop for less."""
    for bursts in (1.0, 4.0, 16.0):
        stalls = [
            estimate_stall_us(Work(60_000, 80_000, bursts=bursts), grant_quota_us(mb, 20_000),
                              PERIOD)
            for mb in range(128, 2_000, 64)
        ]  # fmt: skip
        assert stalls == sorted(stalls, reverse=True)
        assert 0.0 == stalls[-1]
    by_bursts = [
        estimate_stall_us(Work(60_000, 80_000, bursts=n), 1_447, PERIOD) for n in (1, 2, 8, 32)
    ]
    assert by_bursts == sorted(by_bursts, reverse=True)


def test_threads_share_the_quota() -> None:
    """Two threads use it up in half the time; above two cores nothing stops them."""
    one, two = Work(100_000, 0), Work(100_000, 0, cores=2.0)

    assert estimate_stall_us(two, 5_000, PERIOD) > estimate_stall_us(one, 5_000, PERIOD)
    assert estimate_stall_us(two, 20_000, PERIOD) > 0
    assert 0.0 == estimate_stall_us(two, 40_000, PERIOD) == estimate_stall_us(one, 20_000, PERIOD)
