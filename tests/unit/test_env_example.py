"""`.env.example` and the compose file against the settings."""

import re
from itertools import pairwise
from pathlib import Path

from shared.settings import Settings, load

ROOT = Path(__file__).parents[2]
SETTINGS = {name.upper() for name in Settings.__struct_fields__}


def read_example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def test_names_every_setting_with_its_default() -> None:
    """Whoever uncomments all of it changes nothing."""
    example = read_example()

    assert set(example) == SETTINGS
    assert load(example) == Settings()


def test_explains_every_setting() -> None:
    """Each has a line of explanation above it."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    explained = {
        below[1:].partition("=")[0]
        for above, below in pairwise(lines)
        if above.startswith("# ") and re.match(r"#[A-Z0-9_]+=", below)
    }

    assert explained == SETTINGS


def test_the_containers_are_told_every_setting() -> None:
    """A setting in .env reaches the services of docker-compose.yml."""
    not_for_containers = {"REDIS_HOST", "REDIS_PORT", "WORKER_ID"}  # REDIS_URL; the host name
    text = (ROOT / "docker-compose.yml").read_text()

    assert {name for name in SETTINGS if not re.search(rf"^ +{name}:", text, re.MULTILINE)} == (
        not_for_containers
    )
