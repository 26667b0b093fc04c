"""One invocation as people look at it, before it is text, a picture or a page. Pure.

Not here: finding the invocation, drawing (`cli`, `console`).
"""

from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap

from profiler.profile import estimate_profile
from profiler.series import Point, read_points
from shared.events import (
    Accuracy,
    Breakdown,
    Execution,
    InvocationFinished,
    InvocationProfiled,
    InvocationTuned,
    Profile,
)

_MIB = 1 << 20
_LINE_LENGTH = 84  # what fits beside the name of a fact
_NAMES = {
    "on_cpu_us": "on CPU",
    "throttled_us": "throttled",
    "run_queue_us": "run queue",
    "block_io_us": "disk",
    "memory_pressure_us": "memory pressure",
    "waiting_us": "waiting",
    "unattributed_us": "unattributed",
}
_MEANINGS = {
    "throttled_us": "its share of the CPU was used up",
    "run_queue_us": "others had the host's CPUs",
    "memory_pressure_us": "its memory was short",
    "waiting_us": "network, timer or lock",
    "unattributed_us": "the kernel does not tell",
}
_ACCURACIES = {
    Accuracy.EXACT: "exact",
    Accuracy.PROCESS_EXACT: "exact for its one process",
    Accuracy.UPPER_BOUND: "at most: the highest of the sandbox's lifetime",
}


@dataclass(frozen=True)
class Part:
    """A piece of the run."""

    key: str  # the field of `Breakdown`
    name: str
    meaning: str
    us: int


@dataclass(frozen=True)
class Curve:
    """A figure over the run: (milliseconds since the call, amount), in order.

    Begins when the first sample was taken, and says nothing of the time before.
    """

    name: str
    unit: str
    points: tuple[tuple[float, float], ...]

    def describe(self) -> str:
        """What it is, how high it gets, and from when on."""
        top = max(amount for _, amount in self.points)
        height = f"{top:.1f}" if top >= 10 else f"{top:.2f}"
        begin_ms = self.points[0][0]
        begin = f", sampled from {begin_ms:.0f} ms on" if begin_ms else ""
        return f"{self.name}, up to {height} {self.unit}{begin}"


@dataclass(frozen=True)
class View:
    """Everything there is to draw."""

    title: str
    run_us: int
    parts: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]
    curves: tuple[Curve, ...]
    execution: Execution
    profile: Profile
    points: tuple[Point, ...]


def make_view(
    request_id: str, event: InvocationFinished | InvocationProfiled | InvocationTuned
) -> View:
    """From the raw readings where they are still there, else from the profile that was made."""
    execution = event.execution
    points: tuple[Point, ...] = ()
    if isinstance(event, InvocationFinished):
        profile = estimate_profile(execution, event.readings)
        points = tuple(read_points(event.readings)) if event.readings else ()
    else:
        profile = event.profile
    run_us = max(execution.phases.run_us, 0)
    return View(
        title=_describe(request_id, execution),
        run_us=run_us,
        parts=tuple(list_parts(profile.breakdown)),
        facts=tuple(list_facts(execution, profile)),
        curves=tuple(draw_curves(run_us, profile, points)),
        execution=execution,
        profile=profile,
        points=points,
    )


def list_parts(breakdown: Breakdown) -> list[Part]:
    """Those that are not empty, always in the same order."""
    parts = [
        Part(key, name, _MEANINGS.get(key, ""), getattr(breakdown, key))
        for key, name in _NAMES.items()
    ]
    return [part for part in parts if part.us]


def list_facts(execution: Execution, profile: Profile) -> list[tuple[str, str]]:
    """A line for each kind of resource; what was not measured is named at the end."""
    read, written = format_bytes(profile.disk_read_bytes), format_bytes(profile.disk_write_bytes)
    received, sent = (
        format_bytes(amount) for amount in (profile.network_rx_bytes, profile.network_tx_bytes)
    )
    facts = [
        ("memory", _describe_memory(execution, profile)),
        ("CPU", _describe_cpu(profile)),
        ("disk", f"{read} read, {written} written"),
        ("network", f"{received} received, {sent} sent"),
    ]
    if profile.oom_kills:
        facts.append(("killed", f"{profile.oom_kills} for want of memory"))
    if profile.memory_limit_hits:
        facts.append(("limit", f"memory met it {profile.memory_limit_hits} times"))
    if profile.memory_stall_us:
        facts.append(("pressure", f"stalled {format_us(profile.memory_stall_us)} for memory"))
    if profile.cpu_after_answer_us:
        facts.append(("before", f"{format_us(profile.cpu_after_answer_us)} of CPU left running"))
    if profile.missing:
        lines = wrap(", ".join(profile.missing), _LINE_LENGTH)
        facts += zip(["not known", *[""] * len(lines)], lines, strict=False)
    return facts


def draw_curves(run_us: int, profile: Profile, points: tuple[Point, ...]) -> list[Curve]:
    """Memory in MB and CPU in cores; none for a run without a series."""
    memory = [(p.at_us / 1000, p.memory_bytes / _MIB) for p in points if p.memory_bytes is not None]
    curves = []
    if memory:
        end = (run_us / 1000, memory[-1][1])
        curves.append(Curve("memory", "MB", (*memory, end)))
    used = [(0, 0)] + [(p.at_us, p.cpu_us) for p in points if p.cpu_us is not None]
    total_us = profile.cpu_user_us + profile.cpu_system_us
    if len(used) > 1:
        used.append((max(run_us, used[-1][0] + 1), max(total_us, used[-1][1])))
        curves.append(Curve("CPU", "cores", tuple(_rates(used))))
    return curves


def format_us(us: int) -> str:
    """Such as `402.4 ms`, or seconds from ten of them on."""
    return f"{us / 1e6:.1f} s" if us >= 10_000_000 else f"{us / 1000:.1f} ms"


def format_bytes(amount: int) -> str:
    """Such as `20.1 MB` (of 1,048,576 bytes, as everywhere here)."""
    if amount >= _MIB:
        return f"{amount / _MIB:.1f} MB"
    return f"{amount / 1024:.1f} kB" if amount >= 1024 else f"{amount} B"


def _describe(request_id: str, execution: Execution) -> str:
    words = [request_id, execution.function_id, execution.outcome.value.replace("_", " ")]
    words.append(f"{execution.start} start")
    words.append(format_us(max(execution.phases.run_us, 0)))
    return " · ".join(words)


def _describe_memory(execution: Execution, profile: Profile) -> str:
    if profile.memory_accuracy is Accuracy.NONE:
        return "not measured"
    limit = f" of {execution.limits.memory_mb} MB" if execution.limits else ""
    text = (
        f"peak {format_bytes(profile.memory_peak_bytes)}{limit} "
        f"({_ACCURACIES[profile.memory_accuracy]}), "
        f"{format_bytes(profile.memory_baseline_bytes)} at the call"
    )
    if profile.page_cache_bytes >= _MIB:
        text += f", {format_bytes(profile.page_cache_bytes)} of page cache"
    return text


def _describe_cpu(profile: Profile) -> str:
    text = (
        f"{format_us(profile.cpu_user_us)} user, {format_us(profile.cpu_system_us)} system; "
        f"{profile.cpu_utilisation_ratio:.0%} of its share"
    )
    if profile.throttled_periods:
        text += f"; throttled in {profile.throttled_periods} periods"
    return text


def _rates(used: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Cores, the same from each moment to the next: that is all that is known."""
    rates = []
    for (at_us, cpu_us), (next_us, next_cpu_us) in pairwise(used):
        cores = max(next_cpu_us - cpu_us, 0) / max(next_us - at_us, 1)
        rates += [(at_us / 1000, cores), (next_us / 1000, cores)]
    return rates
