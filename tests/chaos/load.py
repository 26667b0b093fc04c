"""The work of a run: messages with duplicates and poison mixed in, and what each must end in.

Not here: what came back (`evidence`), whether it is right (`checker`).
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

BUCKET = "hearth-code"
REGULAR = "regular"

_ECHO = "{'request': context.aws_request_id, 'nonce': event['nonce']}"
_CODE = {
    "echo": f"def handler(event, context):\n    return {_ECHO}\n",
    "slow": f"import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n"
    f"    return {_ECHO}\n",
    # Leaves a file for each time that it runs: evidence besides the log's own.
    "witness": f"import os, uuid\ndef handler(event, context):\n"
    f"    open(os.path.join(os.environ['OUTPUT_DIR'], uuid.uuid4().hex), 'w').close()\n"
    f"    return {_ECHO}\n",
    "large": f"def handler(event, context):\n    return {{**{_ECHO}, 'filling': 'x' * 150_000}}\n",
    "raising": "def handler(event, context):\n    raise ValueError(event['nonce'])\n",
    "fatal": "import os\ndef handler(event, context):\n    os.kill(os.getpid(), 9)\n",
    "endless": "import time\ndef handler(event, context):\n    time.sleep(60)\n",
}
FUNCTIONS = {name: {"main.py": text} for name, text in _CODE.items()}

# How often a kind comes, and the statuses that it may end in. Where the disk is full the function
# that writes a file fails, which is an answer like any other.
_KINDS: dict[str, tuple[float, tuple[str, ...]]] = {
    "echo": (70, ("SUCCESS",)),
    "slow": (6, ("SUCCESS",)),
    "witness": (6, ("SUCCESS", "FAILED")),
    "large": (2, ("SUCCESS",)),
    "raising": (3, ("FAILED",)),
    "fatal": (1.5, ("CRASHED",)),
    "endless": (0.5, ("TIMEOUT",)),
    "missing": (1.5, ("REJECTED",)),
    "wrong_field": (1.5, ("REJECTED",)),
    "unknown_fields": (2, ("SUCCESS",)),
    "no_json": (1.5, ()),
    "no_event": (1.5, ()),
}
_WITH: dict[str, dict[str, object]] = {
    "endless": {"timeoutMs": 500},
    "missing": {"functionId": "missing", "s3Key": "functions/missing.zip"},
    "wrong_field": {"timeoutMs": "soon"},
    "unknown_fields": {"colour": "red", "": {"deep": [[[]]]}, "requestID": "another"},
}
POISON = frozenset({"fatal", "endless", "missing", "wrong_field", "unknown_fields",
                    "no_json", "no_event"})  # fmt: skip
STREAMS = ("requests", "executions", "profiles", "recommendations", "publications")


@dataclass(frozen=True)
class Sending:
    """One request, or one piece of poison, and how often and when it is sent."""

    id: str  # the request id; of poison without one, what its bytes contain
    kind: str
    body: str
    again: tuple[int, ...] = ()  # so many sendings later it is sent once more
    stream: str = ""  # where it is appended itself, past SQS

    @property
    def statuses(self) -> tuple[str, ...]:
        """What its result may say; none where it ends in `dead`."""
        return _KINDS[self.kind][1]

    @property
    def nonce(self) -> str:
        """What only this request was given."""
        return nonce_of(self.id)


def nonce_of(request_id: str) -> str:
    """Told by the request id, but not by any part of it that others share."""
    return f"nonce of {request_id}"


def draw_load(seed: int) -> Iterator[Sending]:
    """Endless."""
    chance = random.Random(seed)
    kinds, weights = list(_KINDS), [share for share, _ in _KINDS.values()]
    number = 0
    while True:
        kind = chance.choices(kinds, weights)[0]
        again: tuple[int, ...] = ()
        if kind not in ("no_json", "no_event") and chance.random() < 0.1:
            # At once, soon, or when the first is long settled; twice or three times.
            again = tuple(chance.choice((0, 5, 300)) for _ in range(chance.choice((1, 1, 2))))
        yield _make(chance, number, kind, again)
        number += 1


def _make(chance: random.Random, number: int, kind: str, again: tuple[int, ...]) -> Sending:
    request_id = f"{kind}-{number}"
    if kind == "no_json":
        return Sending(request_id, kind, f"{{poison {request_id} is no JSON")
    if kind == "no_event":
        stream = chance.choice(STREAMS)
        return Sending(request_id, kind, f"poison {request_id} is no event", stream=stream)
    function = kind if kind in FUNCTIONS else "echo"
    message: dict[str, object] = {
        "requestId": request_id,
        "functionId": function,
        "runtime": "python",
        "s3Key": f"functions/{function}.zip",
        "timeoutMs": 20_000,
        "input": {"nonce": nonce_of(request_id), "seconds": chance.choice((0.05, 0.3, 2.5))},
    }
    message |= _WITH.get(kind, {})
    return Sending(request_id, kind, json.dumps(message), again)
