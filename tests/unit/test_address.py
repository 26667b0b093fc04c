"""Addresses of one Redis and of a cluster."""

import pytest

from shared.address import Node, is_cluster, name_node, read_seeds, slot_of


def test_the_scheme_tells_a_cluster() -> None:
    """Whatever else the URL says."""
    assert is_cluster("redis+cluster://a:1")
    assert is_cluster("rediss+cluster://user:cluster@a:1")
    assert not is_cluster("redis://cluster:6379/0")
    assert not is_cluster("unix:///cluster/redis.sock")


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://a:1", [Node("a", 1)]),
        ("redis+cluster://a,b:2", [Node("a", 6379), Node("b", 2)]),
        ("rediss+cluster://u:p%40w@a:1,b:2?x=y", [Node("a", 1), Node("b", 2)]),
        ("redis+cluster://[::1]:7,[fe80::2]:8", [Node("::1", 7), Node("fe80::2", 8)]),
    ],
)
def test_seeds_are_read(url: str, nodes: list[Node]) -> None:
    """With or without ports, users and options."""
    assert nodes == read_seeds(url)


def test_a_node_has_the_clusters_user_and_options() -> None:
    """So that password and authority hold for nodes that were found by asking."""
    url = "rediss+cluster://u:p%40w@a:1,b:2?ssl_ca_certs=/ca.pem"

    assert "rediss://u:p%40w@10.0.0.7:9/0?ssl_ca_certs=/ca.pem" == name_node(
        url, Node("10.0.0.7", 9)
    )
    assert "redis://[::1]:9/0" == name_node("redis+cluster://a:1", Node("::1", 9))


def test_partitions_are_spread_over_slots() -> None:
    """Eight partitions lie in eight slots."""
    assert 8 == len({slot_of(partition) for partition in range(8)})
