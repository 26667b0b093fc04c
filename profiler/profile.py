"""One invocation's profile: what it used, and where the time of its run went.

Not here: the kernel's files (`figures`, `parse`), what to advise (the tuner).
"""

from profiler.figures import Amount, Figures, read_figures
from shared.events import Accuracy, Breakdown, Execution, Limits, Profile, Readings


def estimate_profile(execution: Execution, readings: Readings | None) -> Profile:
    """The profile of an invocation, from the texts read before and after it.

    A figure that is not known is 0 and named in `missing`. Without a run there is nothing to miss.
    """
    run_us = max(execution.phases.run_us, 0)
    if readings is None and run_us == 0:
        return Profile()
    figures = Figures() if readings is None else read_figures(readings)
    cpu_us = _add(figures.cpu_user_us, figures.cpu_system_us)
    has_peak = readings is not None and figures.memory_peak_bytes is not None
    return Profile(
        cpu_user_us=figures.cpu_user_us or 0,
        cpu_system_us=figures.cpu_system_us or 0,
        cpu_utilisation_ratio=estimate_utilisation(cpu_us or 0, run_us, execution.limits),
        throttled_us=figures.throttled_us or 0,
        throttled_periods=figures.throttled_periods or 0,
        memory_peak_bytes=figures.memory_peak_bytes or 0,
        memory_baseline_bytes=figures.memory_baseline_bytes or 0,
        memory_growth_bytes=figures.memory_growth_bytes or 0,
        memory_accuracy=readings.accuracy if readings and has_peak else Accuracy.NONE,
        page_cache_bytes=figures.page_cache_bytes or 0,
        disk_read_bytes=figures.disk_read_bytes or 0,
        disk_write_bytes=figures.disk_write_bytes or 0,
        network_rx_bytes=figures.network_rx_bytes or 0,
        network_tx_bytes=figures.network_tx_bytes or 0,
        oom_kills=figures.oom_kills or 0,
        breakdown=divide_run(run_us, cpu_us, figures.throttled_us),
        missing=tuple(
            [name for name, figure in zip(Figures._fields, figures, strict=True) if figure is None]
        ),
    )


def divide_run(run_us: int, cpu_us: Amount, throttled_us: Amount) -> Breakdown:
    """The run phase divided by what it was spent on; the parts add up to it exactly.

    Threads add up their CPU time, and each CPU its throttled time, so both together can pass the
    wall clock: then they share it in proportion. What is neither is waiting: on the network, a
    disk, a timer, a lock or a CPU that others use; the readings cannot tell these apart.
    """
    if cpu_us is None:
        return Breakdown(unattributed_us=run_us)
    if throttled_us is None:
        on_cpu_us = min(cpu_us, run_us)
        return Breakdown(on_cpu_us=on_cpu_us, unattributed_us=run_us - on_cpu_us)
    busy_us = cpu_us + throttled_us
    if busy_us > run_us:
        on_cpu_us = run_us * cpu_us // busy_us
        return Breakdown(on_cpu_us=on_cpu_us, throttled_us=run_us - on_cpu_us)
    return Breakdown(on_cpu_us=cpu_us, throttled_us=throttled_us, waiting_us=run_us - busy_us)


def estimate_utilisation(cpu_us: int, run_us: int, limits: Limits | None) -> float:
    """CPU time over what the granted share allowed in the run, to four digits.

    The share is quota over period in cores; without a quota one core counts as the whole, so a
    function with two busy threads shows 2.0. 0.0 where nothing ran.
    """
    quota_us = limits.cpu_quota_us if limits else None
    if run_us <= 0:
        return 0.0
    if limits is None or not quota_us or quota_us < 0 or limits.cpu_period_us <= 0:
        return round(cpu_us / run_us, 4)
    return round(cpu_us * limits.cpu_period_us / (run_us * quota_us), 4)


def _add(one: Amount, other: Amount) -> Amount:
    return None if one is None or other is None else one + other
