"""Writes deploy/redis-users.acl from `shared/access.py`; `--check` only compares."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from shared.access import USERS, write_user  # noqa: E402

FILE = ROOT / "deploy" / "redis-users.acl"


def write_file() -> str:
    """The whole file; every password is to be replaced."""
    lines = ["user default off", "user admin on >REPLACE-admin ~* &* +@all"]
    lines += [write_user(name, f"REPLACE-{name}") for name in USERS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(write_file())
    elif FILE.read_text() != write_file():
        sys.exit(f"{FILE} is stale: python scripts/generate_acl.py")
