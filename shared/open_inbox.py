"""Opens the inbox that fits the log's address: one Redis, or a Redis Cluster.

Not here: anything they do. Stages ask for an inbox here and know only the contract.
"""

from collections.abc import Iterable

from shared.address import is_cluster
from shared.cluster_inbox import ClusterInbox
from shared.redis_inbox import RedisInbox
from shared.settings import Settings
from shared.topology import Stream

StreamInbox = RedisInbox | ClusterInbox


def open_inbox(
    settings: Settings,
    stream: Stream,
    consumer: str,
    *,
    overlapped: bool = False,
    partitions: Iterable[int] = (),
) -> StreamInbox:
    """A consumer of the stream's group, over all partitions or some. Nothing is called yet."""
    kind = ClusterInbox if is_cluster(settings.redis_address) else RedisInbox
    return kind(settings, stream, consumer, overlapped=overlapped, partitions=partitions)
