"""A real Redis Cluster for the tests: three masters and one replica, started without questions.

Slots are assigned and nodes are introduced by plain commands, so no redis-cli is needed.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from local.stack import find_free_ports
from tests.requirements import need

SLOTS = 16_384
MASTERS = 3


class ClusterNode:
    """One redis-server of the cluster."""

    def __init__(self, folder: Path, port: int, bus_port: int) -> None:
        folder.mkdir()
        self.folder, self.port, self._bus_port = folder, port, bus_port
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis(port=port, decode_responses=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                "--cluster-enabled", "yes", "--cluster-port", str(self._bus_port),
                "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no",
                "--repl-diskless-sync-delay", "0", "--dir", os.fspath(self.folder),
                "--appendonly", "yes", "--appendfsync", "no", "--save", "",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._answers, "redis-server answers")

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it."""
        self.client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def id(self) -> str:
        """Its name in the cluster."""
        return str(self.client.execute_command("CLUSTER MYID"))

    @property
    def role(self) -> str:
        """Either master or slave."""
        return str(self.client.info("replication")["role"])

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


class RedisCluster:
    """The nodes: three masters, then the replica of the first."""

    def __init__(self, folder: Path) -> None:
        ports = find_free_ports(2 * (MASTERS + 1))
        self.nodes = [
            ClusterNode(folder / f"node-{place}", ports[2 * place], ports[2 * place + 1])
            for place in range(MASTERS + 1)
        ]
        self._bus_ports = ports[1::2]

    @property
    def url(self) -> str:
        """Its address, by two of its nodes."""
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{places}"

    @property
    def client(self) -> Any:
        """A client that finds its way."""
        return redis.RedisCluster(host="127.0.0.1", port=self.nodes[1].port, decode_responses=True)

    def start(self) -> None:
        """Three masters that share the slots, and a replica of the first."""
        for node in self.nodes:
            node.start()
        for place, node in enumerate(self.nodes[:MASTERS]):
            first, last = SLOTS * place // MASTERS, SLOTS * (place + 1) // MASTERS - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            # Epochs of their own, so that no two of them claim the same one.
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", place + 1)
        first_node = self.nodes[0]
        for node, bus_port in zip(self.nodes[1:], self._bus_ports[1:], strict=True):
            first_node.client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus_port)
        wait_until(self._all_agree, "the nodes know each other")
        replica = self.nodes[MASTERS]
        replica.client.execute_command("CLUSTER REPLICATE", first_node.id)
        wait_until(
            lambda: (
                first_node.client.info("replication")["connected_slaves"] == 1
                and replica.client.info("replication")["master_link_status"] == "up"
            ),
            "the replica follows",
        )

    def stop(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.stop()

    def flush(self) -> None:
        """Empty it."""
        for node in self.nodes:
            if node.role == "master":
                node.client.flushall()

    def master_of(self, slot: int) -> ClusterNode:
        """Who holds a slot."""
        port = self._find_owner(slot, self.nodes[1])
        return next(node for node in self.nodes if node.port == port)

    def move_slot(self, slot: int, target: ClusterNode) -> None:
        """Move a slot with its keys while everybody works."""
        source = self.master_of(slot)
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        while names := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            source.client.execute_command(
                "MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *names
            )
        for node in (target, source, *self.nodes):
            if node.role == "master":
                node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)

        # A replica that takes over before it has heard of the move would claim the slot, empty.
        wait_until(
            lambda: {target.port} == {self._find_owner(slot, node) for node in self.nodes},
            "all nodes know who holds the slot",
        )

    def _find_owner(self, slot: int, asked: ClusterNode) -> int:
        """The port of the master that holds a slot, in the eyes of a node."""
        ranges: Any = asked.client.execute_command("CLUSTER SLOTS")
        return int(next(owner[1] for first, last, owner, *_ in ranges if first <= slot <= last))

    def _all_agree(self) -> bool:
        return all(
            node.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
            and len(node.client.execute_command("CLUSTER NODES")) == len(self.nodes)
            for node in self.nodes
        )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.03)


@pytest.fixture(scope="session")
def redis_cluster_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """One cluster for all tests."""
    need(shutil.which("redis-server") is not None, "redis-server is missing: make setup")
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_cluster(redis_cluster_shared: RedisCluster) -> RedisCluster:
    """The shared cluster, emptied."""
    redis_cluster_shared.flush()
    return redis_cluster_shared
