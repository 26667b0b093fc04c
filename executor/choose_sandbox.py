"""Which kind of sandbox this executor uses, and why. Not here: the kinds themselves."""

from pathlib import Path

from executor.bubblewrap_sandbox import BubblewrapFactory
from executor.docker_sandbox import DockerFactory
from executor.sandbox import SandboxError, SandboxFactory
from shared.events import Runtime
from shared.settings import Settings


def choose_factory(settings: Settings) -> tuple[SandboxFactory, str]:
    """The factory that SANDBOX asks for and a sentence that says why it is this one.

    Raises SandboxError, with the next step, where it cannot work here.
    """
    if settings.sandbox == "bubblewrap":
        return _make_bubblewrap(settings), "SANDBOX=bubblewrap asks for it."
    if settings.sandbox == "docker":
        return _make_docker(settings), "SANDBOX=docker asks for it."
    try:
        return _make_docker(settings), "A Docker Engine answers and has the runtime images."
    except SandboxError as no_docker:
        try:
            return _make_bubblewrap(settings), f"Docker cannot be used here: {no_docker}"
        except SandboxError as no_bubblewrap:
            message = (
                f"no kind of sandbox works here. Docker: {no_docker}. Bubblewrap: {no_bubblewrap}"
            )
            raise SandboxError(message) from no_bubblewrap


def _make_docker(settings: Settings) -> DockerFactory:
    factory = DockerFactory(Path(settings.state_dir), settings.worker)
    try:
        factory.need_image(Runtime.PYTHON)
    except SandboxError:
        factory.close()
        raise
    return factory


def _make_bubblewrap(settings: Settings) -> BubblewrapFactory:
    return BubblewrapFactory(Path(settings.state_dir), settings.worker)
