"""Message bodies that nobody should send: made from a seed, the same every time.

Each kind is a way to be wrong; most bodies name a request id, and then the sender must hear of it.
"""

import json
import random
from collections.abc import Callable, Iterator

from shared.events import derive_event_id

VALID = {
    "functionId": "thumb",
    "runtime": "python3.12",
    "handler": "main.handler",
    "s3Key": "nobody-uploaded-this.zip",
    "s3Bucket": "hearth-code",
    "codeSha256": "ab" * 32,
    "memoryMb": 256,
    "timeoutMs": 1_000,
    "input": {"n": [1, 2.5, None, True, "\u00e9"]},
    "inputS3": {"bucket": "hearth-code", "key": "nobody-uploaded-this-either"},
    "envVars": {"A": "1", "B": "two"},
    "network": "none",
    "reuse": True,
    "replyTo": "answers",
}
NUMBERS = ("0", "-1", "1e400", "-1e400", "1E5", "0.1", "9" * 400, "18446744073709551616", "-0",
           "2147483648", "128.0", "NaN", "-Infinity", "01", "0x10", "1_0", "1.", ".5")  # fmt: skip
TEXTS = ('""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"a\\nb"', '"../../etc/passwd"',
         '"%00"', '"{{7*7}}"', '"\u202e\u0000"', '"' + "x" * 3_000 + '"', '"\\"', "'single'",
         '"\\x41"', '"\U0001f600"', '" "', '"-rf"', '"$(id)"')  # fmt: skip
OTHERS = ("null", "true", "false", "[]", "{}", "[[]]", '{"a":{}}', "[1,2]", "undefined", "", " ")


def make_body(random_: random.Random, number: int) -> str:
    """One body; its request id, where it has one, is its own."""
    # No change of a few characters makes one id into another.
    fields = {"requestId": derive_event_id(str(number), "fuzz"), **VALID}
    return random_.choice(KINDS)(random_, fields)


def make_bodies(seed: int, count: int) -> Iterator[str]:
    """`count` bodies of a seed."""
    random_ = random.Random(seed)
    for number in range(count):
        yield make_body(random_, number)


def wrong_types(random_: random.Random, fields: dict[str, object]) -> str:
    """One to three fields hold something else than they should."""
    parts = {name: json.dumps(value) for name, value in fields.items()}
    for name in random_.sample(list(VALID), random_.randint(1, 3)):
        parts[name] = random_.choice((*NUMBERS, *TEXTS, *OTHERS))
    return "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"


def broken_json(random_: random.Random, fields: dict[str, object]) -> str:
    """Cut, or with characters changed, left out or put in."""
    text = json.dumps(fields)
    if random_.random() < 0.3:
        return text[: random_.randrange(len(text))]
    characters = list(text)
    for _ in range(random_.randint(1, 6)):
        place = random_.randrange(len(characters))
        strange = random_.choice('{}[]",:\\ \x00\x1f\x7f\u00ff\ud800\udfff0eE+-.ntf')
        characters[place] = random_.choice((strange, "", characters[place] + strange))
    return "".join(characters)


def huge_field(random_: random.Random, fields: dict[str, object]) -> str:
    """A field of up to a message's whole size."""
    size = random_.choice((5_000, 60_000, 250_000, 262_144, 300_000))
    name = random_.choice(list(VALID))
    value: object = "x" * size if random_.random() < 0.7 else ["\u00e9" * 20] * (size // 120)
    return json.dumps({**fields, name: value}, ensure_ascii=random_.random() < 0.5)


def deep_nesting(random_: random.Random, fields: dict[str, object]) -> str:
    """Arrays in arrays and objects in objects, closed or not."""
    depth = random_.choice((200, 300, 1_100, 20_000, 100_000))
    opening, closing = random_.choice((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")))
    inside = opening * depth + ("1" if random_.random() < 0.5 else "")
    if random_.random() < 0.8:
        inside += closing * depth
    if random_.random() < 0.2:
        return inside
    name = random_.choice(("input", "envVars", "memoryMb", "requestId", "unknown"))
    rest = ",".join(f'"{key}":{json.dumps(value)}' for key, value in fields.items() if key != name)
    return f'{{{rest},"{name}":{inside}}}'


def duplicate_keys(random_: random.Random, fields: dict[str, object]) -> str:
    """The same name twice, with another value; among them the request id itself."""
    parts = [f'"{name}":{json.dumps(value)}' for name, value in fields.items()]
    again = random_.sample(list(VALID), random_.randint(1, 4))
    parts += [f'"{name}":{random_.choice((*NUMBERS, *TEXTS, *OTHERS))}' for name in again]
    random_.shuffle(parts)
    return "{" + ",".join(parts) + "}"


def missing_fields(random_: random.Random, fields: dict[str, object]) -> str:
    """Some fields are not there, and some that nobody knows are."""
    left = {name: value for name, value in fields.items() if random_.random() < 0.6}
    return json.dumps({**left, random_.choice(("", "\x00", "functionid", "__proto__")): 1})


def no_object(random_: random.Random, fields: dict[str, object]) -> str:
    """Something else than a JSON object, or something around one."""
    text = json.dumps(fields)
    return random_.choice((*NUMBERS, *TEXTS, *OTHERS, f"[{text}]", text + text, f"\ufeff{text}",
                           json.dumps(text), f"{text}\x00", f"//\n{text}", "\x00" * 50,
                           "".join(chr(random_.randrange(0x2FFF)) for _ in range(80))))  # fmt: skip


def strange_ids(random_: random.Random, fields: dict[str, object]) -> str:
    """A request id, function id or channel that is none."""
    name = random_.choice(("requestId", "functionId", "replyTo", "s3Key"))
    value = random_.choice((*NUMBERS, *TEXTS, *OTHERS))
    rest = ",".join(f'"{key}":{json.dumps(one)}' for key, one in fields.items() if key != name)
    return f'{{"{name}":{value},{rest}}}'


Kind = Callable[[random.Random, dict[str, object]], str]
KINDS: tuple[Kind, ...] = (
    wrong_types,
    wrong_types,
    broken_json,
    broken_json,
    huge_field,
    deep_nesting,
    duplicate_keys,
    missing_fields,
    no_object,
    strange_ids,
)
