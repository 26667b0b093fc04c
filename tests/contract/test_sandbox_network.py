"""What a function may reach: only Docker offers a way out, and not to its neighbours."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.docker_sandbox import DockerFactory
from executor.firewall import close_host, decide_rules
from shared.events import Network
from tests.contract.sandboxes import make_code, make_factory, make_spec, need_kind, started
from tests.requirements import need

MAIN = """
import socket
server = None

def handler(event, context):
    global server
    if event is None:
        server = socket.create_server(("0.0.0.0", 8000))
        return socket.gethostbyname(socket.gethostname())
    try:
        socket.create_connection(event, 1).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
"""
LISTEN = """
import socket
with socket.create_server(("0.0.0.0", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        server.accept()[0].close()
"""


@pytest.fixture
def docker_factory(tmp_path: Path) -> Iterator[DockerFactory]:
    need_kind("docker")
    factory = DockerFactory(tmp_path / "state")
    yield factory
    factory.close()


@pytest.fixture
def outside() -> Iterator[tuple[str, int]]:
    """A place beyond the host, one hop away, where somebody listens."""
    need(os.geteuid() == 0 and shutil.which("ip") is not None, "root and iproute2")
    name = f"hearth-test-{os.getpid()}"
    link = f"ht{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    try:
        for command in (
            ["ip", "netns", "add", name],
            ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name],
            ["ip", "address", "add", "198.51.100.1/30", "dev", link],
            ["ip", "link", "set", link, "up"],
            [*inside, "ip", "address", "add", "198.51.100.2/30", "dev", "eth0"],
            [*inside, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        with subprocess.Popen(
            [*inside, sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True
        ) as listener:
            assert listener.stdout is not None
            yield "198.51.100.2", int(listener.stdout.readline())
            listener.kill()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_egress(docker_factory: DockerFactory, tmp_path: Path, outside: tuple[str, int]) -> None:
    """Out to the world; but neither to the host, another sandbox nor the metadata address."""
    spec = make_spec(make_code(tmp_path / "code", main=MAIN), network=Network.EGRESS)
    with started(docker_factory, spec) as one, started(docker_factory, spec) as other:
        one.init()
        other.init()
        address = json.loads(one.output())
        gateway = address.rsplit(".", 1)[0] + ".1"

        def reach(host: str, port: int) -> object:
            return json.loads(other.output(json.dumps([host, port]).encode()))

        assert "reached" == reach(*outside)
        assert "TimeoutError" == reach(address, 8000)
        need(close_host("hearth0"), "iptables and the right to use it")
        assert "ConnectionRefusedError" == reach("169.254.169.254", 80)
        with socket.create_server((gateway, 0)) as listener:
            port = int(listener.getsockname()[1])
            assert "ConnectionRefusedError" == reach(gateway, port)
            socket.create_connection((gateway, port), 1).close()  # it does listen


def test_the_host_is_closed_once() -> None:
    """However often executors start, each rule is there once; and what it names is its bridge."""
    bridge = "hearth-test0"  # nobody's
    try:
        need(close_host(bridge), "iptables and the right to use it, and a Docker Engine")
        close_host(bridge)
        listed = subprocess.run(
            ["iptables", "-w", "-S"], check=True, capture_output=True, text=True
        )
    finally:
        for program in ("iptables", "ip6tables"):
            for rule in decide_rules(bridge):
                subprocess.run([program, "-w", "-D", *rule], check=False, capture_output=True)

    rules = [line for line in listed.stdout.splitlines() if f"-i {bridge} -j REJECT" in line]
    assert len(decide_rules(bridge)) == len(rules)


@pytest.mark.parametrize("kind", ["bubblewrap", "docker"])
def test_no_network(kind: str, tmp_path: Path) -> None:
    """Without egress there is no route at all."""
    need_kind(kind)
    factory = make_factory(kind, tmp_path / "state")
    with started(factory, make_spec(make_code(tmp_path / "code", main=MAIN))) as dialogue:
        dialogue.init()

        assert b'"OSError"' == dialogue.output(b'["192.0.2.1", 80]')
    factory.close()
