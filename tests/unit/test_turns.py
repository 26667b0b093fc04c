"""Message groups: order within one, none between them; room for all receivers together."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.leases import Leases
from ingest.queue import Message
from ingest.receive import Receiver
from ingest.room import Room
from ingest.take import Taker, make_desk
from ingest.turns import Place, Turns
from ingest.usher import Usher
from shared.codec import decode
from shared.events import InvocationRejected, InvocationRequested
from shared.inbox import LogUnavailableError
from shared.settings import Settings
from tests.fakes.memory_log import MemoryLog
from tests.fakes.memory_queue import MemoryQueue
from tests.unit.test_receive import STOP, body


def message(name: str, group: str | None = "g", receipt: str = "r") -> Message:
    return Message(name, receipt, "{}", 0, 1, group)


def test_a_group_takes_turns() -> None:
    """The second waits until the first is settled; then it is its turn, and the third's later."""
    turns = Turns()

    assert [turns.place(message(name)) for name in ("1", "2", "3")] == [
        Place.NEXT,
        Place.WAITS,
        Place.WAITS,
    ]
    assert turns.end("g", "2") is None
    following = turns.end("g", "1")
    assert following is not None
    assert following.message_id == "2"
    assert turns.place(message("4")) is Place.WAITS


def test_groups_do_not_wait_for_each_other() -> None:
    """Nor does a message without one."""
    turns = Turns()

    places = [turns.place(message(name, group)) for name, group in
              (("1", "a"), ("2", "b"), ("3", None), ("4", None))]  # fmt: skip
    assert places == [Place.NEXT] * 4


def test_a_group_that_nobody_waits_in_is_forgotten() -> None:
    """There may be as many groups as there are users."""
    turns = Turns()
    turns.place(message("1"))

    assert turns.end("g", "1") is None
    assert len(turns) == 0


def test_a_new_delivery_of_what_waits_replaces_it() -> None:
    """Its old receipt is worth nothing; its place in the order stays."""
    turns = Turns()
    for name in ("1", "2", "3"):
        turns.place(message(name))

    assert turns.place(message("2", receipt="newer")) is Place.KNOWN
    assert turns.place(message("1", receipt="newer")) is Place.NEXT
    assert [(one.message_id, one.receipt) for one in turns.give_up_waiting()] == [
        ("2", "newer"),
        ("3", "r"),
    ]


class World:
    """Ingest of a FIFO queue, without threads."""

    def __init__(self, fifo_batch: int) -> None:
        self.queue = MemoryQueue(is_fifo=True)
        self.log = MemoryLog()
        settings = Settings(fifo_batch=fifo_batch)
        self.desk = make_desk(self.queue, self.log, Leases(30), settings)
        self.receiver = Receiver(Taker(self.desk))
        self.usher = Usher(Taker(self.desk))

    def settle(self, request_id: str) -> None:
        """As the settler does: delete, then mark."""
        (messages,) = self.log.messages_of([(request_id, "f")])
        self.queue.delete(messages)
        self.log.settle([(request_id, "f")], 60)

    def turn(self) -> list[str]:
        """Receive and usher; the requests that are in the log then."""
        self.receiver.run_once(STOP)
        self.usher.run_once()
        entries = self.log.streams.entries.get(("requests", 0), [])
        events = [decode(payload) for _, payload in entries]
        assert all(isinstance(one, InvocationRequested | InvocationRejected) for one in events)
        return [one.invocation_id for one in events]


@pytest.mark.parametrize("fifo_batch", [1, 10])
def test_the_next_of_a_group_is_appended_when_the_one_before_has_its_result(
    fifo_batch: int,
) -> None:
    """However many a receive brings; other groups go on meanwhile."""
    world = World(fifo_batch)
    for name, group in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")):
        world.queue.send(body(name), group)

    for _ in range(3):
        taken = world.turn()
    assert taken == ["a1", "b1"]
    world.settle("b1")
    for _ in range(3):
        taken = world.turn()
    assert taken == ["a1", "b1", "b2"]
    world.settle("a1")
    for _ in range(3):
        taken = world.turn()
    assert taken == ["a1", "b1", "b2", "a2"]


def test_one_message_a_receive_uses_up_no_receive_count_of_those_behind_it() -> None:
    """With more, a stop of ingest does: what waits for its turn was received already."""
    counts = {}
    for fifo_batch in (1, 10):
        world = World(fifo_batch)
        for name in ("a1", "a2", "a3"):
            world.queue.send(body(name), "a")
        for _ in range(3):
            world.turn()
        world.usher.hand_back()
        world.receiver.hand_back()
        counts[fifo_batch] = [one.receive_count for one in world.queue.messages.values()]

    assert counts == {1: [1, 0, 0], 10: [1, 1, 1]}


def test_what_needs_no_run_ends_its_turn_at_once() -> None:
    """An unusable message and a duplicate with a result hold their group up for one deletion."""
    world = World(10)
    world.log.settle([("done", "f")], 60)
    for text in ("no JSON", body("done"), body("a3")):
        world.queue.send(text, "a")

    for _ in range(3):
        taken = world.turn()

    assert taken == ["a3"]
    assert len(world.queue.messages) == 1
    assert len(world.log.streams.entries["dead", 0]) == 1


def test_a_settled_message_between_its_deletion_and_its_mark_holds_its_group() -> None:
    """SQS gives the next one already; it waits for the mark."""
    world = World(1)
    world.queue.send(body("a1"), "a")
    world.queue.send(body("a2"), "a")
    world.turn()
    (messages,) = world.log.messages_of([("a1", "f")])
    world.queue.delete(messages)

    assert world.turn() == ["a1"]
    world.log.settle([("a1", "f")], 60)
    assert world.turn() == ["a1", "a2"]


def test_an_absent_log_ends_no_turn() -> None:
    """Without its word nobody goes on."""
    world = World(10)
    world.queue.send(body("a1"), "a")
    world.queue.send(body("a2"), "a")
    world.turn()
    world.log.available = False

    with pytest.raises(LogUnavailableError):
        world.usher.run_once()
    world.log.available = True
    world.usher.run_once()
    assert len(world.log.streams.entries["requests", 0]) == 1


def test_room_is_shared() -> None:
    """What others took is not free; what was left is."""
    room = Room(25)

    assert [room.take(10, lambda: 0) for _ in range(4)] == [10, 10, 5, 0]
    room.leave(7)
    assert room.take(10, lambda: 4) == 3
    assert room.take(10, lambda: 100) == 0


def test_several_receivers_together_respect_the_bound() -> None:
    """Eight at once, over and over: never more in the log than it has room for, and all of it."""
    queue, log = MemoryQueue(), MemoryLog()
    desk = make_desk(queue, log, Leases(30), Settings(backlog_max=23))
    receivers = [Receiver(Taker(desk)) for _ in range(8)]
    for number in range(300):
        queue.send(body(f"req-{number}"))

    def receive(receiver: Receiver) -> int:
        return sum(receiver.run_once(threading.Event()) for _ in range(20))

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(receive, receivers))

    assert sum(counts) == len(log.streams.entries["requests", 0]) == 23
    assert sum(one.receive_count for one in queue.messages.values()) == 23
