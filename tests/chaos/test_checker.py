"""The checker finds what is wrong: each history here is a good one with one fault."""

import json
from collections.abc import Callable

import pytest

from tests.chaos.checker import check, md5_of
from tests.chaos.history import Ended, History, Letter, Stored
from tests.chaos.load import Sending, nonce_of

NAMES = ("echo-1", "echo-2", "witness-3")
POISON = Sending("no_json-4", "no_json", "{poison no_json-4")


def make_document(name: str, of: str | None = None, **fields: object) -> bytes:
    output = {"request": of or name, "nonce": nonce_of(of or name)}
    found = {"requestId": name, "status": "SUCCESS", "attempt": 1, "output": output, **fields}
    return json.dumps(found).encode()


def make_stored(name: str, document: bytes) -> Stored:
    return Stored(name, f"results/{name}.json", md5_of(document))


def make_good() -> History:
    documents = {name: make_document(name) for name in NAMES}
    return History(
        sent=[*[Sending(name, name.partition("-")[0], "{}") for name in NAMES], POISON],
        requested=[(name, 1_000) for name in NAMES],
        ended=[Ended(name, 1, 2_000) for name in NAMES],
        profiled=list(NAMES),
        tuned=list(NAMES),
        published=[(name, 3_000) for name in NAMES],
        letters=[Letter("ingest", "message-4", POISON.body.encode())],
        heard={name: [document] for name, document in documents.items()},
        kept=documents,
        stored=[make_stored(name, document) for name, document in documents.items()],
        witnessed={"witness-3": 1},
    )


def lose(history: History) -> None:
    del history.kept["echo-1"]
    history.heard.pop("echo-1")


def lose_after_it_was_announced(history: History) -> None:
    del history.kept["echo-1"]
    history.letters.append(Letter("executor", "echo-1", b"bytes"))


def lose_the_document(history: History) -> None:
    history.stored = [one for one in history.stored if one.request_id != "echo-1"]


def end_twice(history: History) -> None:
    history.ended.append(Ended("echo-1", 1, 2_500))


def announce_twice(history: History) -> None:
    history.heard["echo-1"] *= 2


def result_and_dead(history: History) -> None:
    history.letters.append(Letter("executor", "echo-1", b"bytes"))


def tell_two_results(history: History) -> None:
    history.heard["echo-1"] = [make_document("echo-1", durationMs=9)]


def write_another_document(history: History) -> None:
    history.stored[0] = make_stored("echo-1", make_document("echo-1", durationMs=9))


def swap(history: History) -> None:
    one, other = make_document("echo-1", of="echo-2"), make_document("echo-2", of="echo-1")
    for name, document in (("echo-1", one), ("echo-2", other)):
        history.kept[name] = document
        history.heard[name] = [document]
    history.stored = [make_stored(name, found) for name, found in history.kept.items()]


def end_with_a_wrong_status(history: History) -> None:
    document = make_document("echo-1", status="CRASHED")
    history.kept["echo-1"] = document
    history.heard["echo-1"] = [document]
    history.stored[0] = make_stored("echo-1", document)


def run_again_without_cause(history: History) -> None:
    history.ended[0] = Ended("echo-1", 2, 2_000)
    history.interruptions = [(2_001, 2_500)]


def run_more_often_than_told(history: History) -> None:
    history.witnessed["witness-3"] = 2


def leave_a_message(history: History) -> None:
    history.left_in_queue = 1


def leave_an_entry(history: History) -> None:
    history.left_pending = {"{hearth:0}:requests": 1}


def lose_poison(history: History) -> None:
    history.letters.clear()


def bury_poison_twice(history: History) -> None:
    history.letters.append(Letter("ingest", "message-5", POISON.body.encode()))


def bury_an_innocent(history: History) -> None:
    history.letters.append(Letter("tuner", "", b"a good event"))


def exit_by_itself(history: History) -> None:
    history.ended_processes.append("tuner ended with 1")


FAULTS = [
    (lose, "nothing is lost"),
    (lose_after_it_was_announced, "what was acknowledged"),
    (lose_the_document, "what was acknowledged"),
    (end_twice, "nothing is doubled"),
    (announce_twice, "nothing is doubled"),
    (result_and_dead, "nothing is doubled"),
    (tell_two_results, "all receivers"),
    (write_another_document, "all receivers"),
    (swap, "a result belongs"),
    (end_with_a_wrong_status, "a result belongs"),
    (run_again_without_cause, "code runs again"),
    (run_more_often_than_told, "code runs again"),
    (leave_a_message, "the queue and"),
    (leave_an_entry, "the queue and"),
    (lose_poison, "poison is in dead"),
    (bury_poison_twice, "poison is in dead"),
    (bury_an_innocent, "poison is in dead"),
    (exit_by_itself, "no process ended"),
]


def test_a_good_history_holds() -> None:
    """Nothing is found where nothing is wrong."""
    verdicts = check(make_good())

    assert [] == [verdict for verdict in verdicts if not verdict.holds]
    assert all(verdict.cases > 0 for verdict in verdicts)


def test_a_rerun_with_a_cause_holds() -> None:
    """An executor that was dead while the request was under way explains a second attempt."""
    history = make_good()
    history.ended[0] = Ended("echo-1", 2, 2_000)
    history.interruptions = [(1_500, 1_600)]

    assert all(verdict.holds for verdict in check(history))


@pytest.mark.parametrize(
    ("break_it", "invariant"), FAULTS, ids=[break_it.__name__ for break_it, _ in FAULTS]
)
def test_a_fault_is_found(break_it: Callable[[History], None], invariant: str) -> None:
    """Each fault breaks its invariant, with a counter-example that names what is affected."""
    history = make_good()
    break_it(history)

    broken = [verdict for verdict in check(history) if not verdict.holds]

    assert any(verdict.invariant.startswith(invariant) for verdict in broken)
    assert all(verdict.examples for verdict in broken)
