"""One running stack for all tests of the command line, and functions deployed to it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local.stack import Stack
from tests.cli.terminal import ROOT, make_environment, run
from tests.fixtures_stack import stack_maker

EXAMPLES = ROOT / "examples" / "python"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The processes, sandboxed by bubblewrap."""
    with stack_maker(tmp_path_factory.mktemp("cli")) as make:
        running, _ = make()
        running.wait_healthy()
        yield running


@pytest.fixture(scope="session")
def environment(stack: Stack) -> Mapping[str, str]:
    """What `hearth` runs with; `hello`, `broken` and `mosaic` are deployed and were called."""
    named = make_environment(stack.environment)
    for name, given in (("hello", '{"name": "you"}'), ("broken", '{"price": 3}')):
        assert run(named, "deploy", str(EXAMPLES / name)).code == 0
        assert run(named, "invoke", name, "--input", given).code == int(name == "broken")
    return named


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A folder with a function that sleeps."""
    folder = tmp_path / "sleeper"
    folder.mkdir()
    text = (
        "import time\n\n\ndef handler(event, context):\n    time.sleep(event or 0)\n    return 1\n"
    )
    (folder / "main.py").write_text(text)
    return folder
