"""Addresses of the log: one Redis, or a Redis Cluster named by any of its nodes. Pure.

`redis+cluster://` and `rediss+cluster://` name a cluster: `rediss+cluster://user:word@a:6379,b:6379`.
Every other scheme is redis-py's own. Not here: which node holds what (`cluster`).
"""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from redis.crc import key_slot

from shared.topology import REQUESTS, key

_CLUSTER = "+cluster"


@dataclass(frozen=True, slots=True)
class Node:
    """One server of a cluster."""

    host: str
    port: int


def is_cluster(url: str) -> bool:
    """Whether the URL names a cluster."""
    return urlsplit(url).scheme.endswith(_CLUSTER)


def read_seeds(url: str) -> list[Node]:
    """The nodes that a cluster's URL names: where to ask first."""
    nodes = []
    for place in urlsplit(url).netloc.rpartition("@")[2].split(","):
        host, _, port = (
            place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "")
        )
        nodes.append(Node(host.strip("[]"), int(port or 6379)))
    return nodes


def name_node(url: str, node: Node) -> str:
    """The URL of one node of the cluster, as redis-py reads it: same user, password and options."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{node.host}]" if ":" in node.host else node.host
    scheme = parts.scheme.removesuffix(_CLUSTER)
    return urlunsplit((scheme, f"{user}{at}{host}:{node.port}", "/0", parts.query, ""))


def slot_of(partition: int) -> int:
    """The slot of a cluster that holds everything of a partition."""
    return key_slot(key(REQUESTS, partition).encode())
