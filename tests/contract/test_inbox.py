"""The contract of the inbox, on the fake and on real Redis: nothing lost, nothing twice."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from shared.codec import encode
from shared.events import Event, Outcome, ResultPublished, S3Object
from shared.inbox import Delivery, Inbox
from shared.topology import DEAD, PUBLICATIONS, RECOMMENDATIONS
from tests.contract.inboxes import CLAIM_IDLE_MS, MemoryWorld, RedisWorld, World
from tests.fakes.memory_inbox import MemoryStreams, make_wake
from tests.fixtures_cluster import RedisCluster
from tests.fixtures_redis import RedisServer


@pytest.fixture(params=["memory", "redis", "redis-overlapped", "cluster-overlapped"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each implementation in turn."""
    if request.param == "memory":
        yield MemoryWorld(MemoryStreams(partitions=2))
        return
    server: RedisServer | RedisCluster = request.getfixturevalue(
        "redis_cluster" if request.param.startswith("cluster") else "redis_server"
    )
    world = RedisWorld(server.url, overlapped=request.param.endswith("overlapped"))
    yield world
    world.client.close()


def result(number: int) -> Event:
    """Some event that a publisher would append."""
    return ResultPublished(
        event_id=f"event-{number}",
        invocation_id=f"req-{number}",
        causation_id="cause",
        occurred_at_ms=number,
        function_id="f",
        outcome=Outcome.SUCCEEDED,
        document=S3Object(bucket="b", key="k"),
        document_bytes=1,
    )


def receive_all(inbox: Inbox, count: int, seconds: float = 5) -> list[Delivery]:
    """Receive until `count` deliveries came or the time is over."""
    deadline = time.monotonic() + seconds
    found: list[Delivery] = []
    while len(found) < count and time.monotonic() < deadline:
        found += inbox.receive(count - len(found), 100)
    return found


def test_deliveries_come_in_order_with_their_bytes(world: World) -> None:
    """Entries of one partition are received in the order they were appended, attempt 1."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    for number in range(10):
        world.append(RECOMMENDATIONS, b"%d" % number)

    found = receive_all(inbox, 10)

    assert [b"%d" % number for number in range(10)] == [one.payload for one in found]
    assert {1} == {one.attempt for one in found}
    inbox.close()


def test_commit_appends_and_acknowledges(world: World) -> None:
    """After a commit the results are in their stream and nothing is pending."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x", 1)
    (delivery,) = receive_all(inbox, 1)

    inbox.commit(delivery, (result(1), result(2)))

    assert inbox.flush() == 0
    assert [encode(result(1)), encode(result(2))] == list(world.payloads(PUBLICATIONS, 1))
    assert world.pending_count(RECOMMENDATIONS) == 0
    inbox.close()


def test_a_commit_without_results_only_acknowledges(world: World) -> None:
    """An empty commit is how an entry is skipped."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    (delivery,) = receive_all(inbox, 1)

    inbox.commit(delivery, ())

    assert inbox.flush() == 0
    assert list(world.payloads(PUBLICATIONS)) == []
    assert world.pending_count(RECOMMENDATIONS) == 0
    inbox.close()


def test_an_entry_in_hand_is_not_delivered_again(world: World) -> None:
    """One consumer never gets the same entry twice while it works on it."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    receive_all(inbox, 1)

    again = receive_all(inbox, 1, seconds=3 * CLAIM_IDLE_MS / 1000)

    assert again == []
    inbox.close()


def test_what_a_dead_consumer_left_is_claimed_with_the_next_attempt(world: World) -> None:
    """An entry whose consumer fell silent goes to another one, counted."""
    dead = world.consumer("dead", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    receive_all(dead, 1)
    heir = world.consumer("heir", RECOMMENDATIONS)

    (claimed,) = receive_all(heir, 1)

    assert (b"x", 2) == (claimed.payload, claimed.attempt)
    heir.commit(claimed, (result(1),))
    assert heir.flush() == 0
    heir.close()


def test_what_a_dead_consumer_left_comes_one_at_a_time(world: World) -> None:
    """One of them may have killed it: the others are not in hand with that one again."""
    dead = world.consumer("dead", RECOMMENDATIONS)
    for number in range(3):
        world.append(RECOMMENDATIONS, b"%d" % number)
    receive_all(dead, 3)
    heir = world.consumer("heir", RECOMMENDATIONS)
    (first,) = receive_all(heir, 1)

    assert [] == heir.receive(3, CLAIM_IDLE_MS // 4)  # sooner than a suspect is trusted
    heir.commit(first, ())
    (second,) = receive_all(heir, 1)
    heir.commit(second, ())
    (third,) = receive_all(heir, 1)

    assert [b"0", b"1", b"2"] == [one.payload for one in (first, second, third)]
    heir.close()


def test_a_commit_after_losing_the_entry_is_fenced_off(world: World) -> None:
    """Who was taken for dead and comes back appends nothing: the result is there once."""
    slow = world.consumer("slow", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    (lost,) = receive_all(slow, 1)
    heir = world.consumer("heir", RECOMMENDATIONS)
    (claimed,) = receive_all(heir, 1)

    slow.commit(lost, (result(1),))
    heir.commit(claimed, (result(1),))

    assert slow.flush() == 1
    assert heir.flush() == 0
    assert [encode(result(1))] == list(world.payloads(PUBLICATIONS))
    slow.close()
    heir.close()


def test_a_commit_before_the_claim_leaves_nothing_to_claim(world: World) -> None:
    """Once committed, an entry is nobody's any more."""
    first = world.consumer("first", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    (delivery,) = receive_all(first, 1)
    first.commit(delivery, (result(1),))
    first.flush()

    second = world.consumer("second", RECOMMENDATIONS)

    assert receive_all(second, 1, seconds=3 * CLAIM_IDLE_MS / 1000) == []
    first.close()
    second.close()


def test_holding_keeps_long_work_from_being_claimed(world: World) -> None:
    """A consumer that refreshes what it has in hand is not taken for dead."""
    slow = world.consumer("slow", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"x")
    (delivery,) = receive_all(slow, 1)
    other = world.consumer("other", RECOMMENDATIONS)
    stolen: list[Delivery] = []
    watching = threading.Thread(
        target=lambda: stolen.extend(receive_all(other, 1, seconds=4 * CLAIM_IDLE_MS / 1000))
    )

    watching.start()
    while watching.is_alive():
        slow.receive(0, 20)
    slow.commit(delivery, (result(1),))

    assert stolen == []
    assert slow.flush() == 0
    slow.close()
    other.close()


def test_bury_keeps_the_bytes_and_the_reason(world: World) -> None:
    """A buried entry is acknowledged and lies in the dead stream of its partition."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    world.append(RECOMMENDATIONS, b"\xff not an event", 1)
    (delivery,) = receive_all(inbox, 1)

    inbox.bury(delivery, "no event")

    assert inbox.flush() == 0
    assert world.pending_count(RECOMMENDATIONS) == 0
    (letter,) = world.payloads(DEAD, 1)
    assert b'"reason":"no event"' in letter
    inbox.close()


def test_two_consumers_share_the_work(world: World) -> None:
    """Every entry goes to exactly one of the consumers of a group."""
    inboxes = [world.consumer(name, RECOMMENDATIONS) for name in "ab"]
    for number in range(100):
        world.append(RECOMMENDATIONS, b"%d" % number, number % 2)
    found: list[bytes] = []
    lock = threading.Lock()

    def work(inbox: Inbox) -> None:
        while deliveries := inbox.receive(7, 100):
            for delivery in deliveries:
                inbox.commit(delivery, ())
            with lock:
                found.extend(one.payload for one in deliveries)
        inbox.close()

    threads = [threading.Thread(target=work, args=(inbox,)) for inbox in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(b"%d" % number for number in range(100)) == sorted(found)


def test_a_wake_up_ends_the_wait(world: World) -> None:
    """A descriptor that becomes readable returns the receiver, empty-handed."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    wake = make_wake()
    os.eventfd_write(wake, 1)
    began = time.monotonic()

    assert inbox.receive(1, 5_000, wake) == []
    assert time.monotonic() - began < 2
    os.close(wake)
    inbox.close()


def test_a_wake_up_loses_nothing(world: World) -> None:
    """What arrives after the receiver was woken comes with the next receive."""
    inbox = world.consumer("a", RECOMMENDATIONS)
    wake = make_wake()
    os.eventfd_write(wake, 1)
    inbox.receive(1, 5_000, wake)
    world.append(RECOMMENDATIONS, b"x")

    (delivery,) = receive_all(inbox, 1)

    assert delivery.payload == b"x"
    os.close(wake)
    inbox.close()
