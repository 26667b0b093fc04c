"""Which leases are extended when, and which are let go."""

import pytest

from ingest.adopt import Adopter
from ingest.keep import Keeper
from ingest.leases import Leases
from ingest.queue import Message
from ingest.queue_errors import QueueUnavailableError
from shared.events import InvocationRejected
from shared.inbox import LogUnavailableError
from shared.log import Accepted
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_queue import MemoryQueue

TIMEOUT_S = 60
REQUEST = ("req-1", "f")


def ids(leases: Leases, now_s: float) -> list[str]:
    return [lease.message_id for lease in leases.due(now_s)]


def test_due_at_half() -> None:
    """A lease is due once half of it is over, and again half a timeout after it was renewed."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "receipt", now_s=100)

    assert ids(leases, 129.9) == []
    assert ids(leases, 130) == ["m"]
    leases.renew(leases.due(130), 130)
    assert ids(leases, 159.9) == []
    assert ids(leases, 160) == ["m"]


def test_overdue_is_still_tried() -> None:
    """While SQS does not answer a lease may run out; until SQS says so it is kept."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "receipt", now_s=0)

    assert ids(leases, 1_000) == ["m"]


def test_dropped() -> None:
    """A settled message is never due."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "receipt", now_s=0)
    leases.drop(["m", "unknown"])

    assert ids(leases, 1_000) == []
    assert len(leases) == 0


def test_a_newer_receipt_survives_the_end_of_the_older() -> None:
    """What was received again while the old receipt was refused stays in hand."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "old", now_s=0)
    due = leases.due(30)
    leases.add("m", "new", now_s=31)

    leases.forget(due)
    leases.renew(due, 500)

    assert [lease.receipt for lease in leases.due(61)] == ["new"]


def test_settled_while_it_was_extended() -> None:
    """Renewing does not bring a dropped lease back."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "receipt", now_s=0)
    due = leases.due(30)
    leases.drop(["m"])
    leases.renew(due, 30)

    assert len(leases) == 0


def rejected(request_id: str) -> InvocationRejected:
    return InvocationRejected(
        event_id="e",
        invocation_id=request_id,
        causation_id="c",
        occurred_at_ms=0,
        function_id="f",
        field="memoryMb",
        reason="wrong",
    )


class Kept:
    """A message in flight and the keeper of its lease."""

    def __init__(self) -> None:
        self.queue = MemoryQueue(TIMEOUT_S)
        self.log = MemoryLog()
        self.leases = Leases(TIMEOUT_S)
        self.keeper = Keeper(self.leases, self.queue, self.log, TIMEOUT_S)
        self.queue.send("a")
        (self.message,) = self.queue.receive(10, 0)
        message_id, receipt = self.message.message_id, self.message.receipt
        self.leases.add(message_id, receipt, now_s=0)
        self.log.accept(rejected("req-1"), message_id=message_id, receipt=receipt)
        self.leases.accepted(message_id, REQUEST)

    def pass_time(self, seconds: float) -> int:
        self.queue.pass_time(seconds)
        return self.keeper.run_once(self.queue.now_s)


def test_a_long_invocation_keeps_its_message() -> None:
    """Work of any length is extended and never delivered to another."""
    kept = Kept()

    extended = [kept.pass_time(10) for _ in range(30)]

    assert sum(extended) == 10
    assert kept.queue.receive(10, 0) == []


def test_one_refusal_drops_one_message() -> None:
    """A message that was deleted elsewhere is let go; its neighbour is extended."""
    kept = Kept()
    kept.queue.send("b")
    (neighbour,) = kept.queue.receive(10, 0)
    kept.leases.add(neighbour.message_id, neighbour.receipt, now_s=0)
    kept.queue.delete({kept.message.message_id: kept.message.receipt})

    assert kept.pass_time(30) == 1
    assert ids(kept.leases, 1_000) == [neighbour.message_id]


def test_settled_elsewhere_is_let_go() -> None:
    """A message of a request that another process settled is not extended for ever."""
    kept = Kept()
    kept.log.settle([REQUEST], 60)

    assert kept.pass_time(30) == 0
    assert len(kept.leases) == 0
    assert kept.queue.messages != {}


def test_without_the_log_everything_is_kept() -> None:
    """Redis away: extending goes on."""
    kept = Kept()
    kept.log.available = False

    assert kept.pass_time(30) == 1


def test_without_sqs_nothing_is_forgotten() -> None:
    """SQS away: the lease is tried again and holds."""
    kept = Kept()
    kept.queue.available = False
    with pytest.raises(QueueUnavailableError):
        kept.pass_time(30)
    kept.queue.available = True

    assert kept.pass_time(10) == 1


def test_batches_of_ten_the_most_urgent_first() -> None:
    """Twenty-five leases are three calls; what SQS fails stays due, the others are renewed."""
    queue, leases = MemoryQueue(TIMEOUT_S), Leases(TIMEOUT_S)
    ids_ = [queue.send("body") for _ in range(25)]
    for number, message in enumerate(take_everything(queue)):
        leases.add(message.message_id, message.receipt, now_s=-number)
    queue.failing = {ids_[3]}
    keeper = Keeper(leases, queue, MemoryLog(), TIMEOUT_S)

    with pytest.raises(QueueUnavailableError):
        keeper.run_once(30)

    assert queue.calls == [("extend", 10), ("extend", 10), ("extend", 5)]
    assert queue.extended[0] == ids_[-1]
    assert ids(leases, 30) == [ids_[3]]


def take_everything(queue: MemoryQueue) -> list[Message]:
    return [one for _ in range(3) for one in queue.receive(10, 0)]


def test_the_twelve_hours() -> None:
    """The last extension reaches to their end and no further; then the lease is let go, and the
    message is delivered again with a new lease: no second run, for the log knows its request.
    """
    kept = Kept()
    hours = 0.0
    while len(kept.leases):
        kept.pass_time(25)
        hours = kept.queue.now_s / 3_600
        assert hours < 13

    assert 11.99 < hours < 12.01
    kept.queue.pass_time(TIMEOUT_S)
    (again,) = kept.queue.receive(10, 0)
    assert (again.message_id, again.receive_count) == (kept.message.message_id, 2)
    known = kept.log.accept(rejected("req-1"), message_id=again.message_id, receipt=again.receipt)
    assert known is Accepted.IN_FLIGHT


def test_a_lease_that_ran_out_is_late_until_it_is_gone() -> None:
    """Receivers stop then: SQS does not take the extensions."""
    leases = Leases(TIMEOUT_S)
    leases.add("m", "receipt", now_s=0)

    assert not leases.is_late(59)
    assert leases.is_late(61)
    leases.drop(["m"])
    assert not leases.is_late(61)


def test_a_starting_ingest_adopts_what_is_under_way() -> None:
    """The messages of a dead one are extended at once; those in hand stay as they are."""
    kept = Kept()
    mine = kept.queue.send("b")
    (message,) = kept.queue.receive(10, 0)
    kept.log.accept(rejected("req-2"), message_id=mine, receipt=message.receipt)
    kept.log.settle([("req-3", "f")], 60)
    restarted = Leases(TIMEOUT_S)
    restarted.add(mine, "newer", now_s=100)
    adopter = Adopter(kept.log, restarted)

    assert adopter.run_once(100) == 1
    assert ids(restarted, 100) == [kept.message.message_id]
    assert restarted.receipt_of(mine) == "newer"
    assert adopter.run_once(100) == 0
    assert Keeper(restarted, kept.queue, kept.log, TIMEOUT_S).run_once(100) == 1


def test_adoption_waits_for_the_log() -> None:
    """It is tried again."""
    log = MemoryLog()
    log.available = False
    adopter = Adopter(log, Leases(TIMEOUT_S))

    with pytest.raises(LogUnavailableError):
        adopter.run_once(0)
    assert not adopter.done
