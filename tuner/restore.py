"""Restoring: a tuner that knows what was handled, out of models, archive and live entries.

Not here: who restores, and when (`process`).

A function's events are folded in place, as a replay does. One that takes the tuner's limit goes
through the tuner itself, since what it changed depends on what it advised.
"""

from collections.abc import Mapping

from shared.codec import UndecodableError, decode
from shared.events import CostModelRefreshed, InvocationProfiled
from shared.log import Log
from shared.retention import Entries
from shared.stretch import parse_entry_id
from shared.topology import PROFILES
from shared.whole_log import Archived, Span, WholeLog
from tuner.accumulator import Accumulator
from tuner.facts import Facts, has_run, read_facts
from tuner.refresh import read_refreshed
from tuner.stage import Tuner
from tuner.state import EMPTY, resume


def restore(tuner: Tuner, log: Log, whole_log: WholeLog, partition: int) -> int:
    """Go on from the latest models, and fold what was handled after them; how many events.

    Raises LogUnavailableError and ArchiveUnavailableError.
    """
    models, whole_until = read_refreshed(log, partition)
    for model in models.values():
        tuner.know(model.function_id, resume(model.state))
    restoring = Restoring(tuner, models)
    last, pending = log.position(PROFILES, partition)
    # A refresh that was cut short has no model of some functions: they begin at the last whole.
    for piece in whole_log.read(PROFILES, Span(partition, whole_until, last)):
        if isinstance(piece, Archived):
            restoring.add_archived(piece, pending)
        else:
            restoring.add_live([one for one in piece if one[0] not in pending])
    restoring.finish()
    return restoring.count


class Restoring:
    """Of one partition."""

    def __init__(self, tuner: Tuner, models: Mapping[str, CostModelRefreshed]) -> None:
        self._tuner = tuner
        self._folded = {name: parse_entry_id(one.until_entry) for name, one in models.items()}
        self._accumulators: dict[str, Accumulator] = {}
        self.count = 0

    def add_archived(self, piece: Archived, pending: frozenset[str]) -> None:
        """A stretch, but for what is not handled yet."""
        # polars takes a third of a second to import, and most starts need none of it.
        from tuner.columns import load_frame, read_rows  # noqa: PLC0415

        for entry_id, function_id, event, facts in read_rows(
            load_frame(piece.load(), piece.span, with_events=True)
        ):
            if entry_id in pending or self._is_known(function_id, entry_id):
                continue
            if event is None:
                self._fold(function_id, facts)
            else:
                decoded = decode(event.encode())
                assert isinstance(decoded, InvocationProfiled)
                self._handle(decoded)

    def add_live(self, entries: Entries) -> None:
        """Entries that were handled."""
        for entry_id, payload in entries:
            try:
                event = decode(payload)
            except UndecodableError:
                continue  # it was buried when it was handled
            if not isinstance(event, InvocationProfiled) or not has_run(event):
                continue
            execution = event.execution
            if self._is_known(execution.function_id, entry_id):
                continue
            if execution.memory_auto:
                self._handle(event)
            else:
                self._fold(execution.function_id, read_facts(event))

    def finish(self) -> None:
        """The tuner knows all of it."""
        for function_id, accumulator in self._accumulators.items():
            self._tuner.know(function_id, accumulator.freeze())
        self._accumulators.clear()

    def _is_known(self, function_id: str, entry_id: str) -> bool:
        until = self._folded.get(function_id)
        return until is not None and parse_entry_id(entry_id) <= until

    def _fold(self, function_id: str, facts: Facts) -> None:
        accumulator = self._accumulators.get(function_id)
        if accumulator is None:
            known = self._tuner.state_of(function_id)
            accumulator = Accumulator() if known is EMPTY else Accumulator.thaw(known)
            self._accumulators[function_id] = accumulator
        accumulator.add(facts)
        self.count += 1

    def _handle(self, event: InvocationProfiled) -> None:
        function_id = event.execution.function_id
        accumulator = self._accumulators.pop(function_id, None)
        if accumulator is not None:
            self._tuner.know(function_id, accumulator.freeze())
        self._tuner.restore(event)
        self.count += 1
