"""docker-compose.yml for real: images built from this repository, two executors, one function."""

import json
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.settings import process_environment
from tests.e2e.client import Client
from tests.requirements import docker_answers, need

ROOT = Path(__file__).parents[2]
EXECUTORS = 2
SERVICES = Counter(
    local=1,
    ingest=1,
    executor=EXECUTORS,
    profiler=1,
    tuner=1,
    publisher=1,
    replay=1,
    metrics=1,
    console=1,
)

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Project:
    """One stack of containers, apart from any other on this host."""

    name: str
    environment: dict[str, str]

    def compose(self, *arguments: str) -> str:
        """What docker-compose prints; an AssertionError with its complaint if it fails."""
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        return self.call(*program, "--project-name", self.name, *arguments)

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def health(self) -> Counter[tuple[str, str]]:
        """How many containers of each service are in which state of health."""
        label = f"label=com.docker.compose.project={self.name}"
        ids = self.call("docker", "ps", "--all", "--quiet", "--filter", label).split()
        containers = json.loads(self.call("docker", "inspect", *ids)) if ids else []
        return Counter(
            (
                one["Config"]["Labels"]["com.docker.compose.service"],
                one["State"]["Health"]["Status"],
            )
            for one in containers
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The stack, up and healthy; taken down afterwards with everything it made."""
    need(docker_answers(), "no Docker Engine answers: start one")
    need(
        shutil.which("docker-compose") is not None,
        "docker-compose is missing: scripts/setup --test",
    )
    state_dir = tmp_path_factory.mktemp("compose")
    redis_port, aws_port, console_port = find_free_port(), find_free_port(), find_free_port()
    project = Project(
        name=f"hearth-test-{redis_port}",
        environment=process_environment()
        | {
            "LOCAL_REDIS_PORT": str(redis_port),
            "LOCAL_AWS_PORT": str(aws_port),
            "CONSOLE_PORT": str(console_port),
            "METRICS_PORT": str(find_free_port()),
            "HEARTH_HOST_DIR": str(state_dir),
        },
    )
    project.call("scripts/images")
    project.compose("build")
    try:
        project.compose("up", "--detach", "--scale", f"executor={EXECUTORS}")
        wait_until_healthy(project)
        yield project
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "40")


@pytest.fixture
def client(project: Project) -> Client:
    """A client on the host, by the published ports."""
    aws = f"http://127.0.0.1:{project.environment['LOCAL_AWS_PORT']}"
    queue = f"{aws}/123456789012/hearth-requests"
    return Client(int(project.environment["LOCAL_REDIS_PORT"]), aws, queue)


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until_healthy(project: Project, seconds: float = 120) -> None:
    wanted = Counter({(service, "healthy"): count for service, count in SERVICES.items()})
    deadline = time.monotonic() + seconds
    while (found := project.health()) != wanted:
        assert time.monotonic() < deadline, f"{found}\n{project.compose('logs', '--tail', '20')}"
        time.sleep(1)


def test_every_service_is_confined(project: Project) -> None:
    """Nobody but the executor is root; nothing writes to its image or gains a right."""
    ids = project.compose("ps", "--quiet").split()
    for one in json.loads(project.call("docker", "inspect", *ids)):
        service, host = one["Config"]["Labels"]["com.docker.compose.service"], one["HostConfig"]
        assert ("0:0" if service == "executor" else "65534:65534") == one["Config"]["User"]
        assert host["ReadonlyRootfs"], service
        assert ["ALL"] == host["CapDrop"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service


def test_two_executors_share_the_work(client: Client) -> None:
    """Every message gets its result, measured in a sandbox beside the executor."""
    slow = "import time\ndef handler(event, context):\n    time.sleep(1)\n    return event\n"
    client.deploy("echo", {"main.py": slow})
    names = [f"compose-{number}" for number in range(12)]
    for name in names:
        client.send(name, "echo", handler="main.handler", input={"name": name})

    documents = client.wait(names, 120)

    assert [document["status"] for document in documents] == ["SUCCESS"] * len(names)
    assert [document["output"]["name"] for document in documents] == names
    assert {document["resources"]["memoryAccuracy"] for document in documents} == {"exact"}
    assert len({document["workerId"] for document in documents}) == EXECUTORS


def test_the_stack_tells_its_figures(project: Project) -> None:
    """`metrics` has the log's, an executor its own, on the addresses that Prometheus is told."""
    port = project.environment["METRICS_PORT"]
    read = "from urllib.request import urlopen; print(urlopen('http://{}/metrics').read().decode())"
    fetch = ["exec", "-T", "metrics", "python3", "-c"]

    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        of_log = answer.read().decode()
    of_executor = project.compose(*fetch, read.format("executor:8000"))

    assert "hearth_redis_up 1.0" in of_log
    assert 'hearth_stream_lag_entries{stage="executor",stream="requests"} 0.0' in of_log
    assert "hearth_sandboxes_max 8.0" in of_executor
    assert "hearth_stream_entries" not in of_executor


def test_one_killed_executor_takes_only_its_own_sandboxes_along(
    project: Project, client: Client
) -> None:
    """Started again it reaps what it left; the other one's sandboxes go on."""
    killed, other = project.compose("ps", "--quiet", "executor").split()
    project.call("docker", "kill", killed)
    project.call("docker", "start", killed)
    wait_until_healthy(project)

    client.send("after-the-kill", "echo", handler="main.handler", input={"name": "still here"})

    (document,) = client.wait(["after-the-kill"], 60)
    assert document["output"] == {"name": "still here"}
    assert project.call("docker", "inspect", "--format", "{{.RestartCount}}", other).strip() == "0"
