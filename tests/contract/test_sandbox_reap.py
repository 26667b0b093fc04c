"""What a killed executor leaves is removed; what a living one owns is not."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from executor.cgroups import read_cgroups, read_cgroups_of_self
from tests.contract.sandboxes import (
    KINDS,
    REAL_KINDS,
    Dialogue,
    leftovers_of_state,
    make_code,
    make_factory,
    make_spec,
    need_kind,
)

OWNER = """
import sys, time
from pathlib import Path
from tests.contract.sandboxes import Dialogue, make_factory, make_spec
kind, state_dir, code = sys.argv[1:]
sandbox = make_factory(kind, Path(state_dir)).start(make_spec(Path(code)))
sandbox.meter.freeze()
print(Dialogue(sandbox).pid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_reap(kind: str, tmp_path: Path) -> None:
    """Killed while its sandbox was frozen, which is the hardest to kill."""
    need_kind(kind)
    state_dir = tmp_path / "state"
    code = make_code(tmp_path / "code", main="def handler(e, c): ...")
    factory = make_factory(kind, state_dir)
    living = factory.start(make_spec(code))
    arguments = [sys.executable, "-c", OWNER, kind, str(state_dir), str(code)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        cgroups = set(read_cgroups(pid).values()) - set(read_cgroups_of_self().values())
        assert 0 == factory.reap()
        assert 2 == len(leftovers_of_state(state_dir))
        owner.send_signal(signal.SIGKILL)

    assert 1 == factory.reap()

    assert [living.id] == leftovers_of_state(state_dir)
    if kind in REAL_KINDS:
        assert not Path(f"/proc/{pid}").exists()
        assert [] == [str(folder) for folder in cgroups if folder.exists()]
    assert {} == Dialogue(living).init()
    assert 0 == factory.reap()
    living.destroy()
    factory.close()
