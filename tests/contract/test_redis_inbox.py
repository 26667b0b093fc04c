"""What only a real Redis can do to an inbox: die, come back, forget its scripts and its groups."""

import os
import signal
import threading
import time
from typing import Any

import pytest
import redis

from shared.events import Event
from shared.inbox import Delivery, LogUnavailableError
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import PUBLICATIONS, RECOMMENDATIONS, key
from tests.contract.test_inbox import receive_all, result
from tests.fixtures_redis import RedisServer


def make_inbox(server: RedisServer, name: str, *, overlapped: bool = False) -> RedisInbox:
    """A consumer that claims soon."""
    settings = Settings(redis_url=server.url, claim_idle_ms=600)
    return RedisInbox(settings, RECOMMENDATIONS, name, overlapped=overlapped)


def append(server: RedisServer, payload: bytes) -> None:
    """Append raw bytes."""
    redis.Redis.from_url(server.url).xadd(key(RECOMMENDATIONS, 0), {"event": payload})


def persistently(inbox: RedisInbox, count: int) -> list[Delivery]:
    """Receive through outages."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if found := inbox.receive(count, 200):
                return found
        except LogUnavailableError:
            time.sleep(0.05)
    return []


@pytest.mark.parametrize("overlapped", [False, True])
def test_work_in_hand_survives_a_killed_redis(mortal_redis: RedisServer, overlapped: bool) -> None:
    """A commit queued before the crash is applied after it, exactly once."""
    inbox = make_inbox(mortal_redis, "a", overlapped=overlapped)
    append(mortal_redis, b"x")
    (delivery,) = receive_all(inbox, 1)
    time.sleep(1.2)  # the append-only file is synced every second
    mortal_redis.kill()
    inbox.commit(delivery, (result(1),))
    with pytest.raises(LogUnavailableError):
        inbox.flush()

    mortal_redis.start()
    while True:
        try:
            fenced = inbox.flush()
            break
        except LogUnavailableError:
            time.sleep(0.05)

    client = redis.Redis.from_url(mortal_redis.url)
    assert fenced == 0
    assert client.xlen(key(PUBLICATIONS, 0)) == 1
    assert client.xpending(key(RECOMMENDATIONS, 0), "publisher")["pending"] == 0
    inbox.close()


def test_a_redis_that_stood_still_makes_nobody_dead(mortal_redis: RedisServer) -> None:
    """Nobody could refresh meanwhile; a living owner keeps its entry, in its first attempt."""
    owner = make_inbox(mortal_redis, "owner", overlapped=True)
    other = make_inbox(mortal_redis, "other", overlapped=True)
    append(mortal_redis, b"x")
    (delivery,) = receive_all(owner, 1)
    stolen: list[Delivery] = []
    stop = threading.Event()

    def wait_for_more() -> None:
        while not stop.is_set():
            stolen.extend(other.receive(1, 50))

    def work(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            owner.receive(0, 50)

    thread = threading.Thread(target=wait_for_more)
    thread.start()
    work(1)
    client: Any = redis.Redis.from_url(mortal_redis.url)
    server = client.info("server")["process_id"]
    os.kill(server, signal.SIGSTOP)
    time.sleep(2)  # the silence of the dead is 0.6 s
    os.kill(server, signal.SIGCONT)
    time.sleep(0.1)
    work(1.5)
    stop.set()
    thread.join()
    owner.commit(delivery, ())

    assert [] == stolen
    assert 0 == owner.flush()
    for inbox in (owner, other):
        inbox.close()
    client.close()


def test_a_commit_whose_answer_was_lost_is_not_applied_twice(redis_server: RedisServer) -> None:
    """The connection breaks after the commit was sent: sent again, it changes nothing."""
    inbox = make_inbox(redis_server, "a")
    append(redis_server, b"x")
    (delivery,) = receive_all(inbox, 1)
    inbox.commit(delivery, (result(1),))
    inbox._writer.send()
    time.sleep(0.1)
    inbox._disconnect()

    inbox.flush()

    assert redis.Redis.from_url(redis_server.url).xlen(key(PUBLICATIONS, 0)) == 1
    inbox.close()


def test_entries_that_the_connection_swallowed_come_first_and_uncounted(
    redis_server: RedisServer,
) -> None:
    """Redis delivered, the connection broke before we read: own pending, still attempt 1."""
    inbox = make_inbox(redis_server, "a")
    assert inbox.receive(1, 50) == []
    append(redis_server, b"swallowed")
    time.sleep(0.1)
    inbox._disconnect()
    append(redis_server, b"new")

    found = receive_all(inbox, 2)

    assert [(b"swallowed", 1), (b"new", 1)] == [(one.payload, one.attempt) for one in found]
    inbox.close()


def test_forgotten_scripts_and_groups_are_made_again(redis_server: RedisServer) -> None:
    """SCRIPT FLUSH and a lost group cost a reconnect, not the stage."""
    inbox = make_inbox(redis_server, "a")
    assert inbox.receive(1, 50) == []
    client = redis.Redis.from_url(redis_server.url)
    client.script_flush()
    client.xgroup_destroy(key(RECOMMENDATIONS, 0), "publisher")
    append(redis_server, b"x")

    (delivery,) = persistently(inbox, 1)
    inbox.commit(delivery, (result(1),))

    assert inbox.flush() == 0
    inbox.close()


def test_closing_hands_back_what_was_not_started(redis_server: RedisServer) -> None:
    """A consumer that leaves with unread deliveries gives them to the next one at once."""
    inbox = make_inbox(redis_server, "a")
    for number in range(3):
        append(redis_server, b"%d" % number)
    time.sleep(0.05)
    receive_all(inbox, 3)
    client: Any = redis.Redis.from_url(redis_server.url)
    inbox._ready.extend(inbox._hand.values())  # as if the stage had not taken them
    inbox.close()

    found = receive_all(make_inbox(redis_server, "b"), 3, seconds=2)

    assert [(b"0", 1), (b"1", 1), (b"2", 1)] == [(one.payload, one.attempt) for one in found]
    assert "a" not in {
        one["name"].decode() for one in client.xinfo_consumers(key(RECOMMENDATIONS, 0), "publisher")
    }


def test_a_backlog_needs_few_round_trips(redis_server: RedisServer) -> None:
    """A thousand queued entries are received and committed in batches, not one by one."""
    for number in range(1_000):
        append(redis_server, b"%d" % number)
    inbox = make_inbox(redis_server, "a")
    turns = 0
    found = 0
    while found < 1_000:
        deliveries = inbox.receive(128, 1_000)
        turns += 1
        found += len(deliveries)
        for delivery in deliveries:
            inbox.commit(delivery, ())
    assert inbox.flush() == 0

    assert turns <= 9
    inbox.close()


def test_commits_overtake_a_waiting_read(redis_server: RedisServer) -> None:
    """With two connections a commit is applied while a read waits at the server."""
    inbox = make_inbox(redis_server, "a", overlapped=True)
    append(redis_server, b"x")
    (delivery,) = receive_all(inbox, 1)
    outputs: tuple[Event, ...] = (result(1),)
    threading.Timer(0.2, inbox.commit, (delivery, outputs)).start()
    inbox.receive(1, 10)
    time.sleep(0.3)
    began = time.monotonic()

    inbox.flush()

    assert time.monotonic() - began < 0.5
    assert redis.Redis.from_url(redis_server.url).xlen(key(PUBLICATIONS, 0)) == 1
    inbox.close()


def test_a_lag_that_redis_miscounts_after_a_crash_is_mended(mortal_redis: RedisServer) -> None:
    """Who waits for a small backlog would else wait for ever: Redis 7.0 forgets its count."""
    inbox = make_inbox(mortal_redis, "a")
    for number in range(5):
        append(mortal_redis, b"%d" % number)
        (delivery,) = receive_all(inbox, 1)
        inbox.commit(delivery, ())
        if number == 1:
            redis.Redis.from_url(mortal_redis.url).bgrewriteaof()
            time.sleep(0.3)
    assert inbox.flush() == 0
    inbox.close()
    append(mortal_redis, b"last")
    mortal_redis.kill()
    mortal_redis.start()

    other = make_inbox(mortal_redis, "b")
    assert other.receive(0, 10) == []

    client: Any = redis.Redis.from_url(mortal_redis.url)
    (group,) = client.xinfo_groups(key(RECOMMENDATIONS, 0))
    assert group["lag"] == 1
    other.close()
