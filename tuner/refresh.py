"""Refreshing the cost models: every function folded anew from archive and live history.

Not here: when that happens (`replay_schedule`), who picks it up (`process`).

The fold ends at an entry before which the tuner has handled everything; a tuner that goes on from
there folds what came after it, so it knows what it would know from zero. That is why the models are
states and not conclusions.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from shared.codec import UNREADABLE, UndecodableError, decode
from shared.events import CostModelRefreshed, derive_event_id
from shared.log import Log
from shared.stretch import START
from shared.topology import MODELS, PROFILES, partition_of
from tuner.accumulator import Accumulator
from tuner.history import History, read_piece_by_function
from tuner.state import EMPTY, FunctionState, resume, save

# The model of no function, appended last: everything before its entry is in the models.
ALL_FUNCTIONS = ""
_TELL_EVERY = 100_000
_ENTRY_ID = re.compile(r"\d{1,20}(-\d{1,20})?")

Progress = Callable[[int], None]


def read_ends(log: Log, partitions: int) -> dict[int, str]:
    """By partition, the entry of `profiles` that a refresh may fold up to."""
    return {partition: log.settled_until(PROFILES, partition) for partition in range(partitions)}


def fold_states(history: History, progress: Progress = lambda _: None) -> dict[str, FunctionState]:
    """The state of each function; `progress` hears how many events are folded, now and then.

    Raises HistoryError.
    """
    accumulators: dict[str, Accumulator] = {}
    told = count = 0
    for piece in history.find_pieces():
        for function_id, facts in read_piece_by_function(piece):
            accumulator = accumulators.get(function_id)
            if accumulator is None:
                accumulator = accumulators[function_id] = Accumulator()
            accumulator.add_all(facts)
        count = sum(one.count for one in accumulators.values())
        if count - told >= _TELL_EVERY:
            told = count
            progress(count)
    progress(count)
    return {function_id: one.freeze() for function_id, one in accumulators.items()}


def make_models(
    states: Mapping[str, FunctionState], ends: Mapping[int, str], now_ms: int
) -> Iterator[tuple[int, CostModelRefreshed]]:
    """Partition and event of each function, then that all are there."""
    for function_id in sorted(states):
        partition = partition_of(function_id, len(ends))
        yield partition, _make_model(function_id, states[function_id], ends[partition], now_ms)
    for partition, until in ends.items():
        yield partition, _make_model(ALL_FUNCTIONS, EMPTY, until, now_ms)


def _make_model(
    function_id: str, state: FunctionState, until: str, now_ms: int
) -> CostModelRefreshed:
    cause = f"{function_id}/{until}/{state.call_count}"
    return CostModelRefreshed(
        event_id=derive_event_id(cause, "CostModelRefreshed"),
        invocation_id="",
        causation_id=until,
        occurred_at_ms=now_ms,
        function_id=function_id,
        until_entry=until,
        invocation_count=state.call_count,
        state=save(state),
    )


def read_models(log: Log, partition: int) -> dict[str, CostModelRefreshed]:
    """The latest model of each function of a partition that can be gone on from."""
    return read_refreshed(log, partition)[0]


def read_refreshed(log: Log, partition: int) -> tuple[dict[str, CostModelRefreshed], str]:
    """The same, and the entry of `profiles` up to which there is a model of every function."""
    models: dict[str, CostModelRefreshed] = {}
    for _, payload in log.entries(MODELS, partition):
        try:
            event = decode(payload)
        except UndecodableError:
            continue
        if isinstance(event, CostModelRefreshed) and _is_usable(event):
            models[event.function_id] = event
    whole = models.pop(ALL_FUNCTIONS, None)
    return models, whole.until_entry if whole else START


def _is_usable(model: CostModelRefreshed) -> bool:
    """A damaged model is passed over: the one before, or all of history, says the same."""
    if not _ENTRY_ID.fullmatch(model.until_entry):
        return False
    try:
        resume(model.state)
    except UNREADABLE:
        return False
    return True
