"""The whole stack for a test: real processes on free ports, stopped at the end."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.stack import PROCESSES, Stack, local_environment
from tests.e2e.client import Client
from tests.requirements import docker_answers, need

MakeStack = Callable[..., tuple[Stack, Client]]

SOON = {  # crashes are noticed within a second or two
    "CLAIM_IDLE_MS": "1500",
    "LEAD_TTL_MS": "1000",
    "VISIBILITY_TIMEOUT_S": "3",
    "CODE_CHECK_SECONDS": "600",
}


def make_client(stack: Stack) -> Client:
    """A client of the stack."""
    settings = stack.settings
    assert settings.aws_endpoint is not None
    return Client(settings.local_redis_port, settings.aws_endpoint, settings.queue_url)


def ask_to_stop(stack: Stack) -> None:
    """SIGTERM to all at once but for what they stand on: nothing is under way any more."""
    for name, process in stack.processes:
        if name != "local" and process.poll() is None:
            process.terminate()


@contextmanager
def stack_maker(folder: Path) -> Iterator[MakeStack]:
    """Starts stacks with some processes and settings; stops them at the end."""
    need(shutil.which("redis-server") is not None, "redis-server is missing: make setup")
    stacks: list[Stack] = []
    clients: list[Client] = []

    def make(
        *processes: str,
        sandbox: str = "bubblewrap",
        connect: Callable[[Stack], Client] = make_client,
        **settings: str,
    ) -> tuple[Stack, Client]:
        if sandbox == "docker":
            need(docker_answers(), "no Docker Engine answers: start one")
        else:
            need(shutil.which("bwrap") is not None, "bubblewrap is missing: make setup")
        environment = {
            **local_environment(folder / f"stack-{len(stacks)}"),
            **SOON,
            "SANDBOX": sandbox,
            **settings,
        }
        stack = Stack(environment, log_path=folder / f"stack-{len(stacks)}.log")
        stacks.append(stack)
        stack.start("local")
        stack.wait_local()
        stack.start(*[name for name in processes or PROCESSES if name != "local"])
        clients.append(connect(stack))
        return stack, clients[-1]

    try:
        yield make
    finally:
        for client in clients:
            client.close()  # a Redis waits for its clients to leave
        for stack in stacks:
            ask_to_stop(stack)
            stack.stop()
            assert stack.log_path is not None
            print(stack.log_path.read_text()[-8_000:])


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[MakeStack]:
    """Stacks of one test."""
    with stack_maker(tmp_path) as make:
        yield make


@pytest.fixture(scope="module", params=["bubblewrap", "docker"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Client]]:
    """One whole stack for the tests of a module, on each kind of sandbox."""
    with stack_maker(tmp_path_factory.mktemp(request.param)) as make:
        yield make(sandbox=request.param)
