"""Reads what came of a run: the log, S3, the job keys, the queue. Read when all is quiet.

Not here: whether it is right (`checker`).
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from tests.chaos.history import Ended, History, Letter, Stored
from tests.chaos.load import Sending
from tests.chaos.saboteur import Injected
from tests.e2e.client import Client

_PAGE = 1_000


class _Execution(msgspec.Struct):
    attempt: int = 1


class _Event(msgspec.Struct):
    """What is read of any event."""

    type: str
    invocation_id: str = ""
    execution: _Execution | None = None
    stage: str = ""
    reason: str = ""
    payload: bytes = b""


_decoder = msgspec.json.Decoder(_Event)


def gather(client: Client, sent: list[Sending]) -> History:
    """Everything but what the callers heard and what was done to the stack."""
    history = History(sent=sent)
    log: Any = redis.Redis(port=client.redis_port)
    with log:
        _read_log(log, history)
        _read_kept(log, history)
    _read_stored(client, history)
    _read_outputs(client, history)
    history.left_in_queue = client.queue_size()
    history.left_pending = client.pending()
    return history


def find_interruptions(injected: list[Injected]) -> list[tuple[int, int]]:
    """When an executor was dead, stopped, or away from the log."""
    return [
        (one.began_ms, one.ended_ms)
        for one in injected
        if one.fault.target in ("executor", "executor-redis", "engine")
    ]


def _read_log(log: Any, history: History) -> None:
    for at_ms, event in _events(log, "requests"):
        if event.type in ("InvocationRequested", "InvocationRejected"):
            history.requested.append((event.invocation_id, at_ms))
    for at_ms, event in _events(log, "executions"):
        if event.type == "InvocationFinished" and event.execution is not None:
            history.ended.append(Ended(event.invocation_id, event.execution.attempt, at_ms))
    history.profiled = [event.invocation_id for _, event in _events(log, "profiles")]
    history.tuned = [
        event.invocation_id
        for _, event in _events(log, "recommendations")
        if event.type == "InvocationTuned"
    ]
    history.published = [(e.invocation_id, at_ms) for at_ms, e in _events(log, "publications")]
    history.letters = [
        Letter(event.stage, event.invocation_id, event.payload, event.reason)
        for _, event in _events(log, "dead")
    ]


def _events(log: Any, stream: str) -> Iterator[tuple[int, _Event]]:
    """Every event of a stream; what is none was put there as poison."""
    after = "-"
    while entries := log.xrange(f"{{hearth:0}}:{stream}", after, "+", count=_PAGE):
        for entry_id, fields in entries:
            try:
                event = _decoder.decode(fields[b"event"])
            except msgspec.DecodeError:
                continue
            yield int(entry_id.partition(b"-")[0]), event
        after = f"({entries[-1][0].decode()}"


def _read_kept(log: Any, history: History) -> None:
    names = [name for name, _ in history.requested]
    for start in range(0, len(names), _PAGE):
        page = names[start : start + _PAGE]
        found = log.mget([f"job:{name}" for name in page])
        history.kept |= {
            name: document for name, document in zip(page, found, strict=True) if document
        }


def _objects(client: Client, prefix: str) -> Iterator[dict[str, Any]]:
    pages = client.s3.get_paginator("list_objects_v2").paginate(
        Bucket=client.output_bucket, Prefix=prefix
    )
    for page in pages:
        yield from page.get("Contents", [])


def _read_stored(client: Client, history: History) -> None:
    for item in _objects(client, "results/"):
        request_id = item["Key"].rpartition("/")[2].removesuffix(".json")
        history.stored.append(Stored(request_id, item["Key"], item["ETag"].strip('"')))


def _read_outputs(client: Client, history: History) -> None:
    for item in _objects(client, "outputs/"):
        request_id = item["Key"].split("/")[1].removesuffix(".json")
        if request_id.startswith("witness-"):
            history.witnessed[request_id] = history.witnessed.get(request_id, 0) + 1
        elif request_id.startswith("large-"):
            body = client.s3.get_object(Bucket=client.output_bucket, Key=item["Key"])["Body"]
            history.outputs[request_id] = body.read()
