"""The parting of an invocation and its sandbox: from the ending to the commit and the next call.

What a success left in OUTPUT_DIR is uploaded first, and nothing of any other ending: a file that
was half written must not be taken for a result. The sandbox is idle again when that folder is
empty and, where its bootstrap speaks the Runtime API, when that asks for its next call.

Not here: how an ending is found (`loop`), committed (`ledger`), files moved (`transfers`).
"""

import time
from dataclasses import dataclass

from executor.invocation import Ending, Invocation
from executor.ledger import Ledger
from executor.seat import Seat
from executor.supply import Supply
from executor.transfers import Transfers
from executor.watch import Watch
from shared.events import Outcome

SETTLE_MS_MAX = 2_000  # from an answer to the process being ready for the next call
FREEZE_AFTER_MS = 100  # idle; a sandbox in steady use is not frozen and thawed at every call


@dataclass(slots=True)
class Partings:
    """Runs in the loop's thread."""

    _supply: Supply
    _watch: Watch
    _ledger: Ledger
    _transfers: Transfers

    def begin(self, seat: Seat, ending: Ending, destroy: str | None) -> None:
        """An invocation has ended; `destroy` says why its sandbox serves no more, if so."""
        invocation = seat.invocation
        assert invocation is not None, "an ending without an invocation"
        seat.invocation = None
        seat.generation += 1
        if destroy is None and not invocation.request.reuse:
            destroy = "run_once"
        if destroy is None:
            self._release(seat)
        output = seat.sandbox.exchange.output
        if not output.was_written():
            self._finish(seat, invocation, ending, destroy)
        elif ending.outcome is Outcome.SUCCEEDED:
            began_ns = time.monotonic_ns()

            def uploaded(moved: Ending) -> None:
                invocation.output_us = (time.monotonic_ns() - began_ns) // 1_000
                self._empty(seat, invocation, moved, destroy)

            self._transfers.upload_files(invocation.id, output, ending, uploaded)
        else:
            self._empty(seat, invocation, ending, destroy)

    def settled(self, seat: Seat) -> None:
        """The process of an answered call is ready for the next one."""
        seat.settles = False
        seat.generation += 1
        if not seat.parting:
            self._give_back(seat)
            self._supply.place_waiting()

    def settle_overdue(self, seat: Seat) -> None:
        """The process of an answered call does not come back for the next one."""
        self._lose(seat, "hung")

    def died_idle(self, seat: Seat) -> None:
        """A sandbox without an invocation hung up, or is not believed any more."""
        seat.hung_up = True
        if seat.parting or seat.settles:
            self._lose(seat, "left")
        else:
            self._supply.died_idle(seat)

    def _release(self, seat: Seat) -> None:
        seat.parting = True
        if seat.stream is not None:
            self._transfers.stop(seat.stream)
            seat.stream = None
        if seat.channel.says_ready:
            seat.settles = True
            self._watch.set_deadline(seat, SETTLE_MS_MAX)

    def _empty(
        self, seat: Seat, invocation: Invocation, ending: Ending, destroy: str | None
    ) -> None:
        """The next call must find OUTPUT_DIR empty."""
        if destroy is not None:
            self._finish(seat, invocation, ending, destroy)
            return

        def emptied(is_empty: bool) -> None:  # noqa: FBT001 - of a continuation
            self._finish(seat, invocation, ending, None if is_empty else "output_files")

        self._transfers.empty(seat.sandbox.exchange.output, emptied)

    def _finish(
        self, seat: Seat, invocation: Invocation, ending: Ending, destroy: str | None
    ) -> None:
        seat.parting = False
        if destroy is None and seat.hung_up:
            destroy = "left"
        if destroy is not None:
            seat.settles = False
            self._supply.discard(seat, destroy)
        elif not seat.settles:
            self._give_back(seat)
        self._supply.pool.record_run(seat.key, ending.run_us / 1_000)
        self._ledger.commit(seat, invocation, ending)
        if self._supply.is_waited_for:
            self._supply.place_waiting()

    def _lose(self, seat: Seat, reason: str) -> None:
        """The sandbox of an answered call will not serve again; its files are still wanted."""
        seat.settles = False
        seat.hung_up = True
        if not seat.parting:
            self._supply.discard(seat, reason)
            self._supply.place_waiting()

    def _give_back(self, seat: Seat) -> None:
        self._supply.give_back(seat)
        self._watch.set_deadline(seat, FREEZE_AFTER_MS)
