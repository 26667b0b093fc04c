"""The archiver on a Redis Cluster: every partition is archived, trimmed and read as one."""

from pathlib import Path

from shared.log import Log
from shared.open_inbox import open_inbox
from shared.settings import Settings
from shared.topology import PROFILES, key
from shared.whole_log import Span, WholeLog
from tests.fixtures_cluster import RedisCluster
from tests.integration.archiving import AT_ONCE, make_archiver, read_piece
from tests.unit.test_tuner import make_event

PARTITIONS = 8


def test_every_partition_is_archived(redis_cluster: RedisCluster, tmp_path: Path) -> None:
    """Each in its own place, trimmed behind its group; the memory of the fullest master counts."""
    settings = Settings(redis_url=redis_cluster.url, partitions=PARTITIONS)
    log = Log(settings.redis_address, PARTITIONS)
    for number in range(80):
        log.append(make_event(number), partition=number % PARTITIONS)
    inbox = open_inbox(settings, PROFILES, "tuner-test")
    count = 0
    while count < 80:
        for delivery in inbox.receive(80, 1_000):
            inbox.commit(delivery, ())
            count += 1
    inbox.flush()
    archiver = make_archiver(settings.redis_address, tmp_path, AT_ONCE, PARTITIONS)
    assert 80 == archiver.run_once()
    assert archiver.retention.read_memory().used_bytes > 0

    whole_log = WholeLog(archiver.retention, archiver.archive)
    for partition in range(PARTITIONS):
        assert 0 == redis_cluster.client.xlen(key(PROFILES, partition))
        found = [one for piece in whole_log.read(PROFILES, Span(partition))
                 for one in read_piece(piece)]  # fmt: skip
        assert 10 == len({payload for _, payload in found}) == len(found)
    inbox.close()
    archiver.retention.close()
    log.close()
