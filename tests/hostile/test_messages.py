"""10,000 messages that nobody should send: each ends with a typed result, or in `dead`."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from shared.events import DeadLettered, Outcome, ResultPublished
from shared.settings import Settings
from shared.topology import DEAD, PUBLICATIONS, REQUESTS
from tests.fakes.process_sandbox import ProcessFactory
from tests.fixtures_redis import RedisServer
from tests.hostile.messages import KINDS, make_bodies
from tests.hostile.pipeline import Pipeline

SEED = 20_261_124
COUNT = 10_000
CHUNK = 500


@pytest.fixture
def pipeline(
    aws_settings: Settings, redis_server: RedisServer, s3: Any, tmp_path: Path
) -> Iterator[Pipeline]:
    """All stages; the buckets that messages name are there, and empty."""
    settings = structs.replace(
        aws_settings,
        redis_url=redis_server.url,
        sandboxes_max=64,
        generic_sandboxes_max=0,
        backlog_max=2 * CHUNK,
    )
    for bucket in (settings.code_bucket, settings.output_bucket):
        s3.create_bucket(Bucket=bucket)
    factory = ProcessFactory(tmp_path)
    made = Pipeline(settings, factory)
    yield made
    made.close()
    factory.close()


def test_the_corpus_is_as_wrong_as_it_should_be() -> None:
    """The same bodies from the same seed, of every kind."""
    first, again = (list(make_bodies(SEED, 200)) for _ in range(2))

    assert first == again
    assert len(set(KINDS)) == 8
    assert len(set(make_bodies(SEED, 2_000))) > 1_800


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_message_ends(pipeline: Pipeline) -> None:
    """One result for each that names itself, a dead letter for each other; the queue is empty."""
    ids: list[str] = []
    for number, body in enumerate(make_bodies(SEED, COUNT), 1):
        ids.append(pipeline.queue.send(body))
        if number % CHUNK == 0:
            take_all(pipeline, CHUNK)
            pipeline.run_dry()

    requests = pipeline.events(REQUESTS)
    results = [one for one in pipeline.events(PUBLICATIONS) if isinstance(one, ResultPublished)]
    letters = [one for one in pipeline.events(DEAD) if isinstance(one, DeadLettered)]
    taken = Counter([one.causation_id for one in requests] + [one.causation_id for one in letters])
    assert taken == Counter(ids)
    assert Counter(one.invocation_id for one in results) == Counter(
        one.invocation_id for one in requests
    )
    assert {one.outcome for one in results} == {Outcome.REJECTED}
    assert {one.stage for one in letters} == {"ingest"}
    assert pipeline.queue.messages == {}
    assert min(len(results), len(letters)) > COUNT / 10


def take_all(pipeline: Pipeline, count: int) -> None:
    """Ingest receives what was sent."""
    stop = threading.Event()
    while count > 0:
        taken = pipeline.receiver.run_once(stop)
        assert taken, "ingest took nothing"
        count -= taken
