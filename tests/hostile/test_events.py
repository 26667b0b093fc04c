"""2,000 events with bytes or values changed, in every stage's stream: no stage ends by them."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from shared.codec import UndecodableError, decode
from shared.events import DeadLettered
from shared.settings import Settings
from shared.topology import DEAD, MODELS, PROFILES, stream_of
from tests.fakes.process_sandbox import ProcessFactory
from tests.fixtures_redis import RedisServer
from tests.hostile.events import golden_events, make_events
from tests.hostile.pipeline import READ, Pipeline
from tuner.leader import make_counting

SEED = 20_261_124
COUNT = 2_000
CHUNK = 250
BUCKET = Settings().code_bucket


@pytest.fixture
def pipeline(
    aws_settings: Settings, redis_server: RedisServer, s3: Any, tmp_path: Path
) -> Iterator[Pipeline]:
    """All stages; the buckets that events name are there, and empty."""
    settings = structs.replace(
        aws_settings, redis_url=redis_server.url, sandboxes_max=64, generic_sandboxes_max=0
    )
    for bucket in (settings.code_bucket, settings.output_bucket):
        s3.create_bucket(Bucket=bucket)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", "def handler(event, context):\n    return event\n")
    s3.put_object(Bucket=settings.code_bucket, Key="k.zip", Body=packed.getvalue())
    factory = ProcessFactory(tmp_path)
    made = Pipeline(settings, factory)
    yield made
    made.close()
    factory.close()


def test_the_corpus_has_both_kinds() -> None:
    """Some cannot be read any more, some can and are only senseless."""
    events = list(make_events(SEED, COUNT, BUCKET))
    readable = sum(is_readable(event) for event in events)

    assert len(set(events)) > 0.9 * COUNT
    assert COUNT / 5 < readable < COUNT * 4 / 5


def is_readable(event: bytes) -> bool:
    try:
        decode(event)
    except UndecodableError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_event_ends(pipeline: Pipeline) -> None:
    """Each is acknowledged: it led to what its stage makes, or it is in `dead` once.

    Every fourth goes to a stage that it was never meant for.
    """
    fed: dict[tuple[str, str], bytes] = {}
    golden = golden_events(BUCKET)
    for number, event in enumerate(make_events(SEED, COUNT, BUCKET)):
        kind = type(decode(golden[number % len(golden)])).__name__
        home = stream_of(kind)
        stream = READ[number % len(READ)] if number % 4 == 0 or home not in READ else home
        fed[stream.name, pipeline.feed(stream, event)] = event
        if number % CHUNK == CHUNK - 1:
            pipeline.run_dry()

    buried = Counter(
        (letter.stream, letter.entry_id)
        for entry_id, letter in letters_of(pipeline)
        if (DEAD.name, entry_id) not in fed
    )
    assert set(buried.values()) == {1}
    unreadable = {place for place, event in fed.items() if not is_readable(event)}
    # What is in `dead` already stays there.
    assert {place for place in unreadable if place[0] != DEAD.name} <= set(buried)
    assert buried.keys() <= fed.keys() | made_of(pipeline)


def letters_of(pipeline: Pipeline) -> list[tuple[str, DeadLettered]]:
    """The dead letters by entry id; those that were fed may be none."""
    return [
        (entry_id, event)
        for entry_id, payload in pipeline.log.entries(DEAD, 0)
        if is_readable(payload) and isinstance(event := decode(payload), DeadLettered)
    ]


def made_of(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Every entry: what a stage made of senseless values may be too much for the next one."""
    return {
        (stream.name, entry_id)
        for stream in READ
        for entry_id, _ in pipeline.log.entries(stream, 0)
    }


@pytest.mark.slow
def test_a_tuner_that_starts_again_passes_over_what_was_buried(pipeline: Pipeline) -> None:
    """What it could not handle it cannot fold either; it must not end by it at every start."""
    for number, event in enumerate(make_events(SEED + 1, 600, BUCKET)):
        pipeline.feed(PROFILES if number % 3 else MODELS, event)
    pipeline.run_dry()

    make_counting(pipeline.settings, pipeline.log, 0)  # that it comes back is the point
