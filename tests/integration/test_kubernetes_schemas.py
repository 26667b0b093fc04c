"""deploy/kubernetes against the schemas that Kubernetes publishes.

They come in a package of 110 MB, installed once into build/ and not into the environment.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lambda_clients import ROOT, draft_of, install_once

PACKAGE = "kubernetes-validate==1.37.0"
VERSIONS = ("1.29", "1.37")  # the oldest that we think of, and the newest that the package knows


@pytest.fixture(scope="module")
def schemas() -> Path:
    """The folder that has the package."""
    place = ROOT / "build" / PACKAGE
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install_once(place, [*pip, "--no-compile", "--target", str(draft_of(place)), PACKAGE])
    return place


def check(schemas: Path, version: str, *files: Path) -> "subprocess.CompletedProcess[str]":
    """What the package's own command says."""
    command = [sys.executable, "-m", "kubernetes_validate", "--strict"]
    return subprocess.run(
        [*command, "--kubernetes-version", version, *map(str, files)],
        env={"PYTHONPATH": str(schemas)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid(schemas: Path, version: str) -> None:
    """Every object of Kubernetes' own kinds, no unknown field, in old and new versions."""
    files = [
        path
        for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]

    checked = check(schemas, version, *files)

    assert 0 == checked.returncode, checked.stdout + checked.stderr
    assert len(files) >= 8


def test_a_wrong_field_is_found(schemas: Path, tmp_path: Path) -> None:
    """The check can fail: a misspelt field is no manifest."""
    wrong = (ROOT / "deploy" / "kubernetes" / "stages.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(wrong.replace("readinessProbe", "readynessProbe", 1))

    assert 0 != check(schemas, VERSIONS[-1], tmp_path / "wrong.yaml").returncode
