"""What a test needs of its machine: skipped with the reason where absent, a failure in CI."""

import os

import docker
import pytest


def need(condition: bool, reason: str) -> None:
    """Go on only if `condition` holds."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI this must be there: {reason}")
    pytest.skip(reason)


def docker_answers() -> bool:
    """Whether a Docker Engine answers here."""
    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return False
    return True
