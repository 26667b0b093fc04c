"""`make chaos KILLS=1000 SECONDS=600`: one long run, its report, and an exit status that counts."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import format_json, format_text
from tests.chaos.run import Size, run

_INVOCATIONS_EACH_KILL = 20


def main() -> int:
    """0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--invocations", type=int, help="20 for each kill, where not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a file for the whole report")
    parser.add_argument("--logs", type=Path, help="a folder for what the processes said")
    given = parser.parse_args()
    invocations = given.invocations or given.kills * _INVOCATIONS_EACH_KILL
    with tempfile.TemporaryDirectory(prefix="hearth-chaos-") as folder:
        try:
            report = run(Size(given.seed, given.kills, given.seconds, invocations), Path(folder))
        finally:
            if given.logs is not None:
                shutil.copytree(Path(folder) / "logs", given.logs, dirs_exist_ok=True)
    print(format_text(report))
    if given.json is not None:
        given.json.write_text(format_json(report))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
