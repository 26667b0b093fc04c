"""The publisher process: wired and run.

Not here: what it does (`stage`). `build` is the only place of this stage that makes clients.
"""

import threading
import time

from publisher.results_bucket import ResultsBucket
from publisher.stage import STAGE, Publisher
from publisher.writers import Writers
from shared.aws import make_client
from shared.aws_calls import count_calls
from shared.backoff import Backoff
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.open_inbox import open_inbox
from shared.pace import Pace
from shared.redis_inbox import make_consumer_name
from shared.settings import Settings
from shared.topology import RECOMMENDATIONS

_BLOCK_MS = 500
_FINISH_S = 3.0  # process managers give about 5


def build(settings: Settings) -> Publisher:
    """The stage, for what the settings name. Nothing is called yet."""
    s3 = count_calls(make_client(settings, "s3", connections=settings.s3_writers), STAGE)
    inbox = open_inbox(settings, RECOMMENDATIONS, make_consumer_name(STAGE), overlapped=True)
    bucket = ResultsBucket(s3, settings.output_bucket)
    return Publisher(
        inbox=inbox,
        log=Log(settings.redis_address, settings.partitions),
        writers=Writers(bucket, settings.s3_writers),
        bucket=bucket.name,
        settings=settings,
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run until `stop`; then finish what is being written, for a few seconds, and hand back."""
    publisher = build(settings)
    backoff = Backoff(STAGE, "redis")
    pace = Pace()
    try:
        while not stop.is_set():
            try:
                count = publisher.run_once(_BLOCK_MS)
                backoff.reset()
                time.sleep(pace.decide_pause(count, time.monotonic()))
            except LogUnavailableError as error:
                backoff.wait(stop, error)
        finish(publisher, _FINISH_S)
    finally:
        publisher.writers.close()
    publisher.inbox.close()


def finish(publisher: Publisher, seconds: float) -> None:
    """Commit what S3 takes within `seconds`. The rest stays pending and is delivered again."""
    deadline_s = time.monotonic() + seconds
    while publisher.writers.in_flight and time.monotonic() < deadline_s:
        publisher.commit_written()
        time.sleep(0.01)
    publisher.commit_written()
