"""What runs in the virtual machine: the tests of real kernels, then the captures."""

import sys
from pathlib import Path

import pytest

from tests.golden.cgroup.record import kind_of_machine, record

SCRATCH = Path("/scratch")
RESULTS = SCRATCH / "results"

if __name__ == "__main__":
    tests = Path(__file__).parents[1]
    status = pytest.main(
        [
            str(tests),
            "--noconftest",
            "--import-mode=importlib",
            "--quiet",
            "--durations=5",
            "--timeout=120",
            "-rA",
            "-p",
            "no:cacheprovider",
            f"--junit-xml={RESULTS}/junit.xml",
            f"--ignore={tests / 'test_cgroup2.py'}",  # it starts this machine
        ]
    )
    record(RESULTS / kind_of_machine(), SCRATCH)
    sys.exit(status)
