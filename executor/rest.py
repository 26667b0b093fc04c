"""An idle sandbox comes to rest: frozen, and where its kernel needs it, with a new memory mark.

Nothing of this is on the path of an invocation: one that comes meanwhile goes ahead, and its peak
is told as well as it can be without.

Not here: when a sandbox is idle (`parting`).
"""

from dataclasses import dataclass

from executor.background import Background
from executor.call_cgroup import CallMark
from executor.seat import Seat


@dataclass(slots=True)
class Rests:
    """Runs in the loop's thread."""

    _background: Background

    def begin(self, seat: Seat) -> None:
        """Nothing runs in it until the next call."""
        memory = seat.sandbox.meter.call_memory
        if memory is None or not memory.wants_renewal():
            seat.freeze()
            return
        memory.forget()
        generation = seat.generation

        def renewed(mark: CallMark | None) -> None:
            if seat.generation == generation:
                memory.adopt(mark)
                seat.freeze()
            elif mark is not None:  # called, or destroyed, meanwhile
                mark.close()

        # Before it is frozen: thawing would wait for what a move waits for.
        self._background.submit(memory.renew, renewed)
