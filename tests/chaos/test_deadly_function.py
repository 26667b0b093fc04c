"""A function that takes its executor down every time, among others that do not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from local.stack import STAGES, Stack
from shared.codec import decode
from shared.events import DeadLettered
from tests.e2e.client import Client
from tests.fixtures_stack import MakeStack

ATTEMPTS_MAX = 3
TIMEOUT_MS = 10_000
COUNT = 90
SOURCE = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n    return event\n"


@contextmanager
def executors(stack: Stack, count: int) -> Iterator[list[int]]:
    """Executors that are started again as a process manager would; yields how they ended."""
    ends: list[int] = []
    stop = Event()

    def look_after() -> None:
        living = [start() for _ in range(count)]
        while not stop.wait(0.05):
            for place, process in enumerate(living):
                if process.poll() is not None:
                    ends.append(process.returncode)
                    living[place] = start()

    def start() -> Any:
        return stack.start_program("executor", "tests.chaos.mortal", "deadly")

    thread = Thread(target=look_after)
    thread.start()
    try:
        yield ends
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(180)
def test_a_deadly_function_is_buried_alone(make_stack: MakeStack) -> None:
    """It kills one executor for each attempt; whoever was in hand with it is neither buried nor
    delayed by more than one time-out.
    """
    stack, client = make_stack(
        *[one for one in STAGES if one != "executor"],
        ATTEMPTS_MAX=str(ATTEMPTS_MAX),
        SANDBOXES_MAX="4",
    )
    for name in ("deadly", "good"):
        client.deploy(name, {"main.py": SOURCE})
    names = [f"good-{number}" for number in range(COUNT)]
    sent_ms: dict[str, int] = {}
    with executors(stack, 2) as ends:
        client.invoke("warm", "good", input={})
        for number, name in enumerate(names):
            sent_ms[name] = time.time_ns() // 1_000_000
            client.send(name, "good", input=number, timeoutMs=TIMEOUT_MS)
            if number == 10:
                client.send("deadly-1", "deadly", input={}, timeoutMs=TIMEOUT_MS)
            time.sleep(0.03)
        documents = client.wait_kept(names, seconds=60)
        client.wait_settled(seconds=60)

    assert list(range(COUNT)) == [one["output"] for one in documents]
    assert ["deadly-1"] == [letter.invocation_id for letter in read_letters(client)]
    assert [-9] * ATTEMPTS_MAX == ends
    delays = [at_ms - sent_ms[name] for name, at_ms in read_publications(client) if name in sent_ms]
    assert max(delays) < TIMEOUT_MS
    assert COUNT == len(delays)


def read_letters(client: Client) -> list[DeadLettered]:
    events = [decode(fields["event"].encode()) for _, fields in read(client, "dead")]
    return [event for event in events if isinstance(event, DeadLettered)]


def read_publications(client: Client) -> list[tuple[str, int]]:
    return [
        (decode(fields["event"].encode()).invocation_id, int(entry_id.split("-")[0]))
        for entry_id, fields in read(client, "publications")
    ]


def read(client: Client, stream: str) -> list[tuple[str, dict[str, str]]]:
    return list(client.redis.xrange(f"{{hearth:0}}:{stream}"))
