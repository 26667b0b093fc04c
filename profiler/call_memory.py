"""The peak of a call by a cgroup that was made for it (cgroup v2 before Linux 6.12).

What is charged during the call is charged to that cgroup; what the sandbox held before stays with
the sandbox's own, and can only become less. So the peak is what was held besides, and the new
cgroup's mark: but for what went meanwhile, and for what its mark remembers of an earlier call.

Not here: what is told where this says nothing (`memory`).
"""

from typing import NamedTuple

from profiler.deltas import Amount, within_bounds
from profiler.parse import parse_single
from profiler.traffic import read_all_network
from shared.events import Readings

_DOUBT_BYTES_MAX = 1 << 20
# Buffers of connections are charged to whoever opened them, maybe in an earlier call.
_NETWORK_BYTES_MAX = 1 << 18


class _Moment(NamedTuple):
    """Bytes, before or after the call."""

    sandbox: int
    call: int
    mark: int

    @property
    def besides(self) -> int:
        return self.sandbox - self.call


def read_call_peak(readings: Readings) -> Amount:
    """Bytes, no less than the peak and no more than 1 MiB above it; None where that is in doubt."""
    before, after = _read_moment(readings.before), _read_moment(readings.after)
    number = readings.before.get("call/number", "")
    if before is None or after is None or number != readings.after.get("call/number"):
        return None
    moved = read_all_network(readings, "call/net/dev")
    if moved is None or moved > _NETWORK_BYTES_MAX or after.mark < before.mark:
        return None
    remembered = before.mark - before.call if after.mark == before.mark else 0
    doubt = remembered + abs(before.besides - after.besides)
    if doubt > _DOUBT_BYTES_MAX:
        return None
    return within_bounds(after.mark + max(before.besides, after.besides))


def _read_moment(files: dict[str, str]) -> _Moment | None:
    names = ("memory.current", "call/memory.current", "call/memory.peak")
    amounts = [parse_single(files.get(name, "")) for name in names]
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(names):
        return None
    moment = _Moment(*known)
    return moment if moment.besides >= 0 and moment.mark >= moment.call else None
