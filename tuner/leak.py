"""Memory that grows from call to call within a sandbox: followed for a few sandboxes at a time.

Not here: how a person is told (`findings`).

What is in use before a call (the baseline) should stay once a function is warm. A sandbox in which
it rose in most of its calls, and by much in all, leaks; what grows at first and then stays is a
cache.
"""

from msgspec import Struct

SANDBOXES_MAX = 4
_CALLS_MIN = 10
_GROWTH_BYTES_MIN = 4 << 20
_GROWTH_BYTES_PER_CALL_MIN = 32 << 10
_RISES_PERCENT_MIN = 70


class Track(Struct, frozen=True, array_like=True):
    """The baselines of one sandbox, call by call."""

    sandbox_id: str
    calls: int
    first_bytes: int
    last_bytes: int
    rises: int  # calls that found more in use than the one before

    @property
    def growth_bytes(self) -> int:
        """From the first call to the last."""
        return self.last_bytes - self.first_bytes


def follow(tracks: tuple[Track, ...], sandbox_id: str, baseline_bytes: int) -> tuple[Track, ...]:
    """One more call; the sandbox seen last stands last, the least recently seen is forgotten."""
    if not sandbox_id or baseline_bytes <= 0:
        return tracks
    for track in tracks:
        if track.sandbox_id == sandbox_id:
            others = tuple([other for other in tracks if other is not track])
            return (*others, _extend(track, baseline_bytes))
    fresh = Track(sandbox_id, 1, baseline_bytes, baseline_bytes, 0)
    return (*tracks, fresh)[-SANDBOXES_MAX:]


def find_leak(tracks: tuple[Track, ...]) -> Track | None:
    """The sandbox that shows most clearly that the function leaks; None where none does."""
    leaking = [track for track in tracks if _leaks(track)]
    return max(leaking, key=lambda track: (track.growth_bytes, track.sandbox_id), default=None)


def _extend(track: Track, baseline_bytes: int) -> Track:
    rises = track.rises + (baseline_bytes > track.last_bytes)
    return Track(track.sandbox_id, track.calls + 1, track.first_bytes, baseline_bytes, rises)


def _leaks(track: Track) -> bool:
    rising = track.calls - 1
    return (
        track.calls >= _CALLS_MIN
        and track.growth_bytes >= max(_GROWTH_BYTES_MIN, _GROWTH_BYTES_PER_CALL_MIN * rising)
        and track.rises * 100 >= rising * _RISES_PERCENT_MIN
    )
