"""Events as no stage writes them: the golden ones with bytes or values changed, from a seed.

Bytes: most are no event any more. Values: they stay events, of the right types and the wrong sense.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
WHOLE_NUMBERS = (-(2**63), -(2**31), -1, 0, 1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1)
BROKEN_NUMBERS = (-1e308, -0.5, 0.0, 5e-324, 1e308, 1e18)
WORDS = ("", "\x00", "x" * 5_000, "../../../etc", "\U0001f600", "a b", "*", "-1", "none", "1-1",
         "\u202e", "{hearth:1}:requests", "\n")  # fmt: skip


def golden_events(bucket: str) -> list[bytes]:
    """One of each type and version that there ever was; requests are for a function in `bucket`.

    The first request asks for an input that is not there, the others can be run as they are.
    """
    events = [file.read_bytes().strip() for file in sorted(GOLDEN.glob("*.json"))]
    return [_deployed(event, bucket) if b"InvocationRequested" in event else event
            for event in events]  # fmt: skip


def _deployed(event: bytes, bucket: str) -> bytes:
    content = json.loads(event)
    content["code"] = {"bucket": bucket, "key": "k.zip"}
    content["timeout_ms"] = 3_000
    if "memory_auto" in content or "reuse" in content:
        content.pop("input_s3", None)
    return json.dumps(content).encode()


def make_events(seed: int, count: int, bucket: str) -> Iterator[bytes]:
    """`count` mutated events; every golden one has its turn."""
    random_ = random.Random(seed)
    golden = golden_events(bucket)
    for number in range(count):
        event = golden[number % len(golden)]
        yield mutate_bytes(random_, event) if number % 3 == 0 else mutate_values(random_, event)


def mutate_bytes(random_: random.Random, event: bytes) -> bytes:
    """Some bytes changed, left out, doubled or cut off."""
    changed = bytearray(event)
    for _ in range(random_.randint(1, 8)):
        place = random_.randrange(len(changed))
        match random_.randrange(4):
            case 0:
                changed[place] = random_.randrange(256)
            case 1:
                del changed[place]
            case 2:
                changed[place:place] = changed[place : place + random_.randint(1, 30)]
            case _:
                changed[place] ^= 1 << random_.randrange(8)
    return bytes(changed[: random_.randrange(len(changed))] if random_.random() < 0.1 else changed)


def mutate_values(random_: random.Random, event: bytes) -> bytes:
    """One to four values changed, mostly to others of their type."""
    content = json.loads(event)
    for _ in range(random_.randint(1, 4)):
        holder, name = random_.choice(list(_places(content)))
        holder[name] = _other(random_, holder[name])
    return json.dumps(content, separators=(",", ":")).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a JSON tree but the event's type, with what holds it."""
    names = list(content) if isinstance(content, dict) else range(len(content))
    for name in names:
        if name == "type":
            continue
        yield content, name
        if isinstance(content[name], dict | list):
            yield from _places(content[name])


def _other(random_: random.Random, value: Any) -> Any:
    if random_.random() < 0.1:
        return random_.choice((None, [], {}, "word", -1, 1.5, True))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, list):
        return random_.choice(([], value * 2, value[:1] * 50))
    if isinstance(value, dict):
        return random_.choice(({}, {**value, "unheard": 1}))
    return random_.choice(_OTHERS[type(value)])


_OTHERS: dict[type, tuple[Any, ...]] = {int: WHOLE_NUMBERS, float: BROKEN_NUMBERS, str: WORDS}
