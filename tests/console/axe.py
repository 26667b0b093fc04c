"""axe-core, the checker of accessibility: from npm into build/, once, pinned by its hash."""

import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.requirements import need

_PACKAGE = "axe-core@4.10.3"
_SHA256 = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"
_FOLDER = Path(__file__).parents[2] / "build" / _PACKAGE
_FILE = _FOLDER / "node_modules" / "axe-core" / "axe.min.js"


def read_axe() -> str:
    """Its text. Where no registry answers the test is skipped; in CI it fails."""
    if not _FILE.exists():
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        try:
            subprocess.run([*npm, "--prefix", str(_FOLDER), _PACKAGE], check=True, timeout=120)
        except (OSError, subprocess.SubprocessError) as error:
            need(False, f"{_PACKAGE} cannot be installed, does no registry answer? {error}")
    text = _FILE.read_bytes()
    assert sha256(text).hexdigest() == _SHA256, f"{_FILE} is not the file that was pinned"
    return text.decode()


def list_violations(page: Page, axe: str) -> list[str]:
    """What axe finds wrong, all its rules: the rule, what it means, where."""
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
