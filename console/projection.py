"""The console's projection: what its pages show of the log's end, folded event by event.

Not here: reading (`reader`), the pages' figures (`overview`, `function`, ...). Bounded in all its
parts. Streams are read side by side, so events of one invocation may come in any order. Whoever
reads or folds holds `lock`.
"""

import threading
from collections import OrderedDict, deque
from typing import TypeVar

from console.rows import Function, Invocation, Profiled, measure_total_us, read_order
from console.window import Window, find_class
from shared.dead_letters import Letter
from shared.events import (
    Anything,
    CostModelRefreshed,
    DeadLettered,
    InvocationFinished,
    InvocationProfiled,
    InvocationRejected,
    InvocationRequested,
    InvocationTuned,
    MemoryLimitChanged,
    Outcome,
    Profile,
    ResultPublished,
    SandboxStarted,
    SandboxStopped,
    Start,
)
from shared.tail import GroupState, Place
from tuner.facts import has_run, read_facts

Told = InvocationFinished | InvocationProfiled | InvocationTuned
Step = InvocationRequested | InvocationRejected | Told | ResultPublished
K = TypeVar("K")
V = TypeVar("V")

INVOCATIONS_MAX = 2_000
FUNCTIONS_MAX = 500
PROFILED_MAX = 5_000
SANDBOXES_MAX = 2_000
NOTES_MAX = 200


class Projection:
    """All that is remembered. Starts empty; `problem` says why it may be old."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.problem = "The log has not been read yet."
        self.read_at_ms = 0  # Redis's clock at the last read
        self.skipped = 0  # entries that went by too fast to be looked at
        self.groups: list[GroupState] = []
        self.generation = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was folded: the log is read anew from its end."""
        self.generation += 1
        self.window = Window()
        self.invocations: OrderedDict[str, Invocation] = OrderedDict()
        self.functions: OrderedDict[str, Function] = OrderedDict()
        self.profiled: deque[Profiled] = deque(maxlen=PROFILED_MAX)
        self.sandboxes: OrderedDict[str, SandboxStarted] = OrderedDict()
        self.models: OrderedDict[str, CostModelRefreshed] = OrderedDict()
        self.changes: deque[MemoryLimitChanged] = deque(maxlen=NOTES_MAX)
        self.letters: OrderedDict[tuple[int, str], Letter] = OrderedDict()

    def apply(self, place: Place, entry_id: str, event: Anything) -> None:
        """One more event of the log."""
        match event:
            case MemoryLimitChanged():
                self._note(place, entry_id, event.invocation_id)
                self.changes.append(event)
            case SandboxStarted():
                _keep(self.sandboxes, event.sandbox_id, event, SANDBOXES_MAX)
            case SandboxStopped():
                self.sandboxes.pop(event.sandbox_id, None)
            case CostModelRefreshed(function_id=""):
                pass  # says that a refresh was whole
            case CostModelRefreshed():
                _keep(self.models, event.function_id, event, FUNCTIONS_MAX)
            case DeadLettered():
                letter = Letter(place.partition, entry_id, event)
                _keep(self.letters, (place.partition, entry_id), letter, NOTES_MAX)
            case _:
                self._follow(self._note(place, entry_id, event.invocation_id), entry_id, event)

    def find_function(self, function_id: str) -> Function | None:
        """What is known of a function."""
        return self.functions.get(function_id)

    def list_recent(self, function_id: str | None = None, limit: int = 20) -> list[Invocation]:
        """The newest invocations, of one function or of all, newest first."""
        found = []
        for row in reversed(self.invocations.values()):
            if function_id is None or row.function_id == function_id:
                found.append(row)
                if len(found) == limit:
                    break
        return found

    def _note(self, place: Place, entry_id: str, request_id: str) -> Invocation:
        """The line of an invocation; where its event lies is kept."""
        row = self.invocations.get(request_id)
        if row is None:
            row = Invocation(request_id)
            _keep(self.invocations, request_id, row, INVOCATIONS_MAX)
        row.entries.append((place, entry_id))
        del row.entries[:-16]  # a request id may be used again when it was settled long ago
        return row

    def _follow(self, row: Invocation, entry_id: str, event: Step) -> None:
        """One more step of an invocation."""
        match event:
            case InvocationRequested() | InvocationRejected():
                row.function_id = event.function_id
                row.requested_at_ms = event.occurred_at_ms
            case InvocationFinished():
                self._finish(row, event)
            case InvocationProfiled(profile=profile):
                self._finish(row, event)
                _measure(row, profile)
                self._remember_facts(entry_id, event)
            case InvocationTuned(profile=profile):
                self._finish(row, event)
                _measure(row, profile)
                self._advise(event)
            case ResultPublished():
                pass  # that it lies there is all

    def _finish(self, row: Invocation, event: Told) -> None:
        """The first event that tells how it ended counts; the later ones carry the same."""
        if row.ended_at_ms == event.occurred_at_ms and row.outcome is not None:
            return
        execution = event.execution
        row.function_id = execution.function_id
        row.requested_at_ms = execution.requested_at_ms
        row.ended_at_ms = event.occurred_at_ms
        row.outcome, row.start = execution.outcome, execution.start
        row.memory_mb = execution.limits.memory_mb if execution.limits else None
        row.run_us = execution.phases.run_us
        row.total_us = measure_total_us(execution.phases)
        failed = execution.outcome is not Outcome.SUCCEEDED
        cold = execution.start is Start.COLD
        self.window.add(row.ended_at_ms, row.total_us, failed=failed, cold=cold)
        function = self._function(execution.function_id)
        function.invocations += 1
        function.failed += failed
        function.cold += cold
        function.last_at_ms = max(function.last_at_ms, row.ended_at_ms)
        function.runtime = execution.runtime or function.runtime
        function.limits = execution.limits or function.limits
        function.memory_auto = execution.memory_auto
        if execution.limits:
            function.lengths[find_class(row.run_us)] += 1

    def _function(self, function_id: str) -> Function:
        function = self.functions.get(function_id) or Function(function_id)
        _keep(self.functions, function_id, function, FUNCTIONS_MAX)
        return function

    def _advise(self, event: InvocationTuned) -> None:
        if event.advice is not None:
            function = self._function(event.execution.function_id)
            function.advice, function.advised_by = event.advice, event.invocation_id

    def _remember_facts(self, entry_id: str, event: InvocationProfiled) -> None:
        if has_run(event):
            order = read_order(entry_id)
            request_id, function_id = event.invocation_id, event.execution.function_id
            self.profiled.append(Profiled(order, function_id, request_id, read_facts(event)))


def _measure(row: Invocation, profile: Profile) -> None:
    row.accuracy = profile.memory_accuracy
    row.peak_bytes = profile.memory_peak_bytes


def _keep(known: OrderedDict[K, V], name: K, value: V, limit: int) -> None:
    """The newest stays longest."""
    known[name] = value
    known.move_to_end(name)
    while len(known) > limit:
        known.popitem(last=False)
