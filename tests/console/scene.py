"""A stack with a little history, made by real invocations: what the console's tests look at."""

import time
from dataclasses import dataclass
from typing import Any

from local.stack import Stack
from shared.codec import encode
from shared.events import MemoryLimitChanged
from shared.topology import PROFILES, RECOMMENDATIONS, key
from tests.e2e.client import Client
from tuner.replay_schedule import refresh

THUMB = """
import time, hashlib
def handler(event, context):
    until = time.process_time() + event["cpu_ms"] / 1000
    block = bytearray(event["mb"] << 20)
    while time.process_time() < until:
        hashlib.sha256(b"x" * 4096).digest()
    time.sleep(event["wait_ms"] / 1000)
    print("resized", event["name"], "to", len(block) >> 20, "MB")
    return {"name": event["name"], "width": 640, "height": 480}
"""
REPORT = """
import time
def handler(event, context):
    rows = []
    print("reading", event["rows"], "rows")
    until = time.process_time() + 0.35
    while time.process_time() < until:
        rows = [sum(rows[:2000]) % 97] + rows[:400000] + list(range(5000))
    time.sleep(0.25)
    print("<script>document.title = 'taken over'</script>")
    return {"rows": len(rows)}
"""
BROKEN = """
def handler(event, context):
    prices = {"apple": 3}
    print("looking for", event["fruit"])
    return prices[event["fruit"]]
"""
LARGE = """
def handler(event, context):
    keep = bytearray(event["mb"] << 20)
    return len(keep)
"""


def play(client: Client, calls: int = 24) -> None:
    """Calls that succeed at three sizes, compute for long, fail and run out of memory."""
    for name, text in (
        ("thumb", THUMB), ("report", REPORT), ("broken", BROKEN), ("large", LARGE),
    ):  # fmt: skip
        client.deploy(name, {"main.py": text})
    sizes = (1024, 512, 256)
    for number in range(calls):
        event = {"cpu_ms": 9, "mb": 8 + number % 9, "wait_ms": 6, "name": f"cat-{number}.jpg"}
        size = sizes[number * len(sizes) // calls]
        client.invoke(f"thumb-{number:03}", "thumb", memoryMb=size, input=event)
    for number in range(2):
        client.send(f"report-{number}", "report", memoryMb=512, input={"rows": 20_000})
    client.send("broken-0", "broken", input={"fruit": "pear"})
    client.send("large-0", "large", input={"mb": 300})
    client.wait(["report-0", "report-1", "broken-0", "large-0"])


def change_limit(client: Client) -> None:
    """What the tuner writes when it sets a limit, in its words."""
    change = MemoryLimitChanged(
        event_id="5a" * 16,
        invocation_id="thumb-020",
        causation_id="0c" * 16,
        occurred_at_ms=time.time_ns() // 1_000_000,
        function_id="thumb",
        from_mb=512,
        to_mb=256,
        action="advice",
        reason="Resource waste: 512 MB allocated, peak 25 MB.",
        savings_percent=41.5,
        duration_ms_max=61.0,
    )
    client.redis.xadd(key(RECOMMENDATIONS, 0), {"event": encode(change)})


def bury(client: Client) -> str:
    """An entry that no tuner can read; the id of its dead letter."""
    redis: Any = client.redis
    redis.xadd(key(PROFILES, 0), {"event": '{"invocation_id":"thumb-003","broken":'})
    deadline = time.monotonic() + 20
    while not (letters := redis.xrange("{hearth:0}:dead")):
        assert time.monotonic() < deadline, "nothing was buried"
        time.sleep(0.05)
    return str(letters[0][0])


@dataclass(frozen=True)
class Scene:
    """A stack with its history, and where its console is."""

    stack: Stack
    client: Client
    letter: str

    @property
    def address(self) -> str:
        """Of the console."""
        return f"http://127.0.0.1:{self.stack.settings.console_port}"


def make_scene(stack: Stack, client: Client) -> Scene:
    """Everything that the pages show."""
    play(client)
    change_limit(client)
    letter = bury(client)
    refresh(stack.settings)
    return Scene(stack, client, letter)
