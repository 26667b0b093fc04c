"""Which node of a Redis Cluster holds which partition, as the cluster itself says.

Not here: what is done with a partition (`cluster_inbox`). Nothing is cached between processes; one
is asked anew whenever a node did not answer or said that a partition has moved.
"""

from shared.address import Node, name_node, read_seeds, slot_of
from shared.inbox import LogUnavailableError
from shared.wire import Reply, Wire


class Layout:
    """Partition -> URL of its master. One thread owns it."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._seeds = read_seeds(url)
        self._ranges: list[tuple[int, int, Node]] = []
        self._nodes: list[Node] = []  # masters and replicas

    def find(self, partition: int) -> str | None:
        """Where the partition was at the last look; None where no master holds it."""
        slot = slot_of(partition)
        for first, last, node in self._ranges:
            if first <= slot <= last:
                return name_node(self._url, node)
        return None

    def forget(self, partition: int) -> None:
        """What was found for the partition does not hold any more."""
        slot = slot_of(partition)
        self._ranges = [one for one in self._ranges if not one[0] <= slot <= one[1]]

    def look(self) -> None:
        """Ask the nodes one after the other, those known last first. Raises LogUnavailableError."""
        known = dict.fromkeys([*self._nodes, *self._seeds])
        problem = LogUnavailableError("the cluster's URL names no node")
        for node in known:
            try:
                self._read(node, self._ask(node))
            except LogUnavailableError as error:
                problem = error
            else:
                return
        raise problem

    def _read(self, asked: Node, slots: Reply) -> None:
        """Each range is its first and last slot, the master and the replicas."""
        ranges = [(one[0], one[1], [_read_node(node, asked) for node in one[2:]]) for one in slots]
        self._ranges = [(first, last, nodes[0]) for first, last, nodes in ranges]
        self._nodes = [node for _, _, nodes in ranges for node in nodes]

    def _ask(self, node: Node) -> Reply:
        wire = Wire(name_node(self._url, node), self._name)
        wire.connect()
        try:
            (slots,) = wire.call(("CLUSTER", "SLOTS"))
        finally:
            wire.close()
        if not slots:
            raise LogUnavailableError(f"{node.host}:{node.port} knows no slot of its cluster")
        return slots


def _read_node(reply: Reply, asked: Node) -> Node:
    host, port = reply[0], reply[1]
    # Without a host the node means the address that it was reached under.
    return Node(host.decode() if host else asked.host, port)
