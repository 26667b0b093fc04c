"""The published Lambda runtime clients, installed once from their registries into build/.

Where no registry answers, a test that needs one is skipped with the reason; in CI it fails.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.requirements import need

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build" / "lambda-clients"
PYTHON_CLIENT = "awslambdaric==4.2.2"
NODEJS_CLIENT = "aws-lambda-ric@3.3.0"
GO_SOURCE = Path(__file__).parent / "integration" / "lambda_client.go"
_INSTALL_SECONDS = 500  # compiling curl takes two minutes

PYTHON_BOOTSTRAP = '#!/bin/sh\nexec python3 -m awslambdaric "$_HANDLER"\n'
NODEJS_BOOTSTRAP = '#!/bin/sh\nexec node ric/bin/index.mjs "$_HANDLER"\n'
# What compiles its addition in C++, which asks for calls and answers them.
_TOOLS = ("npm", "cmake", "g++", "make", "autoreconf", "libtoolize")
_HEADERS = Path("/usr/include/node/node_api.h")


def lay_python_client(folder: Path, files: Mapping[str, str], version: str = "3.11") -> Path:
    """An archive's folder with the Python client and these files."""
    place = CACHE / f"{PYTHON_CLIENT}-{version}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = ["--only-binary=:all:", "--python-version", version, PYTHON_CLIENT]
    install_once(place, [*pip, "--target", str(draft_of(place)), *wanted])
    return _lay(folder, place, {"bootstrap": PYTHON_BOOTSTRAP, **files})


def lay_nodejs_client(folder: Path, files: Mapping[str, str]) -> Path:
    """An archive's folder with the Node.js client and these files; it is compiled here once."""
    place = CACHE / NODEJS_CLIENT
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    need(not missing, f"{', '.join(missing)} is missing. Run: scripts/setup --test")
    need(_HEADERS.exists(), f"{_HEADERS} is missing. Run: scripts/setup --test")
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--nodedir=/usr"]
    install_once(place, [*npm, "--prefix", str(draft_of(place)), NODEJS_CLIENT])
    client = place / "node_modules" / "aws-lambda-ric"
    folder.mkdir()
    for part in ("bin", "dist"):
        shutil.copytree(client / part, folder / "ric" / part)
    return _write(folder, {"bootstrap": NODEJS_BOOTSTRAP, **files})


def install_once(place: Path, command: Sequence[str]) -> None:
    """Run a command that fills `draft_of(place)`, unless `place` is there already."""
    if place.is_dir():
        return
    draft = draft_of(place)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        said = getattr(error, "stderr", None) or b""
        reason = said.decode(errors="replace").strip()[-300:] or error
        need(False, f"{place.name} cannot be installed, does no registry answer? {reason}")
    draft.rename(place)


def draft_of(place: Path) -> Path:
    """Where it is put until it is whole."""
    return place.parent / f"{place.name}.new"


def _lay(folder: Path, place: Path, files: Mapping[str, str]) -> Path:
    shutil.copytree(place, folder)
    return _write(folder, files)


def _write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    return folder
