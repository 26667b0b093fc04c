"""One invocation's profile: what it used, and where the time of its run went.

Not here: the kernel's files (`figures` and its neighbours), the parts of the run (`breakdown`),
what to advise (the tuner).
"""

from profiler.breakdown import Evidence, divide_run
from profiler.cpu import read_main_thread
from profiler.deltas import add, put_unchanged_back
from profiler.figures import Figures, read_figures_with
from profiler.memory import has_met_limit, read_memory
from profiler.series import estimate_busy
from shared.events import Breakdown, Execution, Limits, Profile, Readings


def estimate_profile(execution: Execution, readings: Readings | None) -> Profile:
    """The profile of an invocation, from the texts read before and after it.

    A figure that is not known is 0 and named in `missing`. Without a run there is nothing to miss.
    """
    run_us = max(execution.phases.run_us, 0)
    if readings is None:
        if run_us == 0:
            return Profile()
        return Profile(breakdown=Breakdown(unattributed_us=run_us), missing=Figures._fields)
    readings = put_unchanged_back(readings)
    memory = read_memory(readings)
    figures = read_figures_with(readings, memory)
    cpu_us = add(figures.cpu_user_us, figures.cpu_system_us)
    known = {name: figure for name, figure in figures._asdict().items() if figure is not None}
    return Profile(
        **known,
        cpu_utilisation_ratio=estimate_utilisation(cpu_us or 0, run_us, execution.limits),
        memory_accuracy=memory.accuracy,
        breakdown=divide_run(run_us, _collect(run_us, readings, figures, execution.limits)),
        missing=tuple(name for name in Figures._fields if name not in known),
    )


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


def _collect(run_us: int, readings: Readings, figures: Figures, limits: Limits | None) -> Evidence:
    main_cpu_us, main_ready_us = read_main_thread(readings) or (None, None)
    return Evidence(
        cpu_us=add(figures.cpu_user_us, figures.cpu_system_us),
        system_us=figures.cpu_system_us,
        busy_us=estimate_busy(readings, run_us),
        throttled_us=figures.throttled_us,
        throttled_periods=figures.throttled_periods,
        period_us=limits.cpu_period_us if limits else 0,
        main_cpu_us=main_cpu_us,
        main_ready_us=main_ready_us,
        cpu_stall_us=figures.cpu_stall_us,
        io_stall_us=figures.io_stall_us,
        memory_stall_us=figures.memory_stall_us,
        disk_bytes=add(figures.disk_read_bytes, figures.disk_write_bytes),
        has_met_limit=has_met_limit(readings),
        major_faults=figures.major_faults,
    )
