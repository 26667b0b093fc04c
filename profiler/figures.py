"""Readings to figures: everything that the texts tell of one invocation.

Not here: which file of which kernel answers (`cpu`, `memory`, `traffic`), how one file is read
(`parse`), what the figures add up to (`profile`).
A figure is None when its file is missing, cut off, no number, or when a counter ran backwards:
what cannot be known is never a number.
"""

from typing import NamedTuple

from profiler.cpu import read_cpu, read_cpu_after_answer, read_stall, read_throttled
from profiler.deltas import Amount, Pair, count
from profiler.memory import (
    Memory,
    read_faults,
    read_limit_hits,
    read_memory,
    read_page_cache,
)
from profiler.parse import parse_single
from profiler.traffic import read_disk, read_network
from shared.events import Readings


class Figures(NamedTuple):
    """The measured fields of a `Profile`, under the same names; None: unknown."""

    cpu_user_us: Amount = None
    cpu_system_us: Amount = None
    cpu_after_answer_us: Amount = None
    throttled_us: Amount = None
    throttled_periods: Amount = None
    memory_peak_bytes: Amount = None
    memory_baseline_bytes: Amount = None
    memory_growth_bytes: Amount = None
    page_cache_bytes: Amount = None
    page_faults: Amount = None
    major_faults: Amount = None
    memory_limit_hits: Amount = None
    disk_read_bytes: Amount = None
    disk_write_bytes: Amount = None
    network_rx_bytes: Amount = None
    network_tx_bytes: Amount = None
    oom_kills: Amount = None
    pids: Amount = None
    cpu_stall_us: Amount = None
    io_stall_us: Amount = None
    memory_stall_us: Amount = None


def read_figures(readings: Readings) -> Figures:
    """Everything the readings tell of one invocation."""
    return read_figures_with(readings, read_memory(readings))


def read_figures_with(readings: Readings, memory: Memory) -> Figures:
    """The same, with the memory read already."""
    cpu_user_us, cpu_system_us = _split(read_cpu(readings))
    throttled_us, throttled_periods = read_throttled(readings)
    page_faults, major_faults = _split(read_faults(readings))
    disk_read_bytes, disk_write_bytes = _split(read_disk(readings))
    network_rx_bytes, network_tx_bytes = _split(read_network(readings))
    oom_file = "memory.events" if readings.source == "cgroup2" else "memory.oom_control"
    return Figures(
        cpu_user_us=cpu_user_us,
        cpu_system_us=cpu_system_us,
        cpu_after_answer_us=read_cpu_after_answer(readings),
        throttled_us=throttled_us,
        throttled_periods=throttled_periods,
        memory_peak_bytes=memory.peak,
        memory_baseline_bytes=memory.baseline,
        memory_growth_bytes=memory.growth,
        page_cache_bytes=read_page_cache(readings),
        page_faults=page_faults,
        major_faults=major_faults,
        memory_limit_hits=read_limit_hits(readings),
        disk_read_bytes=disk_read_bytes,
        disk_write_bytes=disk_write_bytes,
        network_rx_bytes=network_rx_bytes,
        network_tx_bytes=network_tx_bytes,
        oom_kills=count(readings, oom_file, "oom_kill"),
        pids=parse_single(readings.after.get("pids.current", "")),
        cpu_stall_us=read_stall(readings, "cpu"),
        io_stall_us=read_stall(readings, "io"),
        memory_stall_us=read_stall(readings, "memory"),
    )


def _split(pair: Pair) -> tuple[Amount, Amount]:
    return (None, None) if pair is None else pair
