"""The floor: the least memory that may be recommended, whatever it would save.

Not here: what is best above it (`choice`).
"""

from tuner.policy import BALANCED, Policy
from tuner.state import FunctionState

MEMORY_MB_MIN = 128
MEMORY_MB_MAX = 10_240
MEBIBYTE = 1 << 20


def decide_floor_mb(state: FunctionState, limit_mb: int, policy: Policy = BALANCED) -> int:
    """The highest peak with a margin, and above every limit that was not enough.

    Without any measured peak nothing below the present limit is known to be safe.
    """
    peak_bytes = state.peak_bytes_max
    floor_mb = MEMORY_MB_MIN if state.peak_count else max(limit_mb, MEMORY_MB_MIN)
    is_firm = state.peak_count >= policy.firm_count
    margin_percent = policy.margin_firm_percent if is_firm else policy.margin_percent
    floor_mb = max(floor_mb, round_up(peak_bytes * margin_percent, 100 * MEBIBYTE))
    if state.out_of_memory_mb_max:
        failed_mb = state.out_of_memory_mb_max
        floor_mb = max(floor_mb, round_up(failed_mb * policy.bump_percent, 100))
        floor_mb = max(floor_mb, failed_mb + policy.bump_mb)
    return min(floor_mb, MEMORY_MB_MAX)


def round_up(numerator: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return -(-numerator // divisor)
