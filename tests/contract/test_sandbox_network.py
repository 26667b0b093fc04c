"""What a function may reach: only Docker offers a way out, and not to its neighbours."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.docker_sandbox import DockerFactory
from executor.firewall import close_host
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


@pytest.fixture
def docker_factory(tmp_path: Path) -> Iterator[DockerFactory]:
    need_kind("docker")
    factory = DockerFactory(tmp_path / "state")
    yield factory
    factory.close()


def test_egress(docker_factory: DockerFactory, tmp_path: Path) -> None:
    """Out to the host's bridge, but neither to another sandbox nor to the metadata address."""
    spec = make_spec(make_code(tmp_path / "code", main=MAIN), network=Network.EGRESS)
    with started(docker_factory, spec) as one, started(docker_factory, spec) as other:
        one.init()
        other.init()
        address = json.loads(one.output())
        gateway = address.rsplit(".", 1)[0] + ".1"

        def reach(host: str, port: int) -> object:
            return json.loads(other.output(json.dumps([host, port]).encode()))

        assert "ConnectionRefusedError" == reach(gateway, 9)  # the way is open, nobody listens
        assert "TimeoutError" == reach(address, 8000)
        need(close_host("hearth0"), "iptables and the right to use it")
        assert "ConnectionRefusedError" == reach("169.254.169.254", 80)


@pytest.mark.parametrize("kind", ["bubblewrap", "docker"])
def test_no_network(kind: str, tmp_path: Path) -> None:
    """Without egress there is no route at all."""
    need_kind(kind)
    factory = make_factory(kind, tmp_path / "state")
    with started(factory, make_spec(make_code(tmp_path / "code", main=MAIN))) as dialogue:
        dialogue.init()

        assert b'"OSError"' == dialogue.output(b'["192.0.2.1", 80]')
    factory.close()
