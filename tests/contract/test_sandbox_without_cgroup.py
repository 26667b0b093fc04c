"""A bubblewrap sandbox where no cgroup may be made: what is still bounded, and what is not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from executor.bubblewrap_host import find_processes_max
from shared.events import Limits
from tests.contract.sandboxes import make_code, make_factory, make_spec, need_kind, started
from tests.requirements import need

MAIN = """
import os, threading

def handler(event, context):
    stop, count = threading.Event(), 0
    try:
        while count < event * 2:
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        pass
    stop.set()
    return [count, os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize >> 20]
"""


def test_bounds_without_a_cgroup(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Processes and files are bounded; that memory and CPU are not is said in the log."""
    need_kind("bubblewrap")
    need(find_processes_max(1) == 1, "Linux 5.14 and prlimit of util-linux")
    # The kernel refuses this limit, as it refuses everything to whoever may make no cgroup.
    refused = Limits(memory_mb=-1, timeout_ms=5_000)
    spec = make_spec(make_code(tmp_path / "code", main=MAIN))
    factory = make_factory("bubblewrap", tmp_path / "state")
    with started(factory, replace(spec, limits=refused, pids_max=50, tmp_mb=16)) as dialogue:
        assert {} == dialogue.init()
        threads, tmp_mb = json.loads(dialogue.output(b"50"))
        groups = Path(f"/proc/{dialogue.pid()}/cgroup").read_text()
    factory.close()

    assert Path(f"/proc/{os.getpid()}/cgroup").read_text() == groups
    assert 30 < threads < 50
    assert 16 == tmp_mb
    assert "memory_and_cpu_limits=NOT kept" in caplog.text
