"""Every archive of the corpus is refused in words, and nothing is written outside its folder."""

import zipfile
from pathlib import Path

import pytest

from executor.archive import ArchiveError, unpack
from tests.hostile.archives import GOOD, MORE, make_all, pack

CORPUS = make_all()


def test_the_corpus_is_large_and_has_no_doubles() -> None:
    """At least two hundred archives, each by its own label."""
    assert len(CORPUS) >= 200
    assert len({label for label, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize(("label", "packed"), CORPUS, ids=[label for label, _ in CORPUS])
def test_hostile_archives(tmp_path: Path, label: str, packed: bytes) -> None:
    """Refused; the folder beside is as it was; no link, device or set-id file was made."""
    world = tmp_path / "world"
    target = world / "target" / "deep"
    target.mkdir(parents=True)
    (world / "witness").write_text("untouched")
    archive = tmp_path / "archive.zip"
    archive.write_bytes(packed)

    with pytest.raises(ArchiveError) as refused:
        unpack(archive, target)

    assert str(refused.value), label
    outside = {place for place in world.rglob("*") if target not in place.parents}
    assert outside == {world / "witness", world / "target", target}
    assert (world / "witness").read_text() == "untouched"
    assert not any(place.is_symlink() for place in target.rglob("*"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_guards_let_ordinary_archives_through(tmp_path: Path, method: int) -> None:
    """What the corpus is made around is accepted: a refusal is about the hostile part."""
    archive = tmp_path / "archive.zip"
    archive.write_bytes(pack(*GOOD, ("lib/", b""), *MORE, ("lib/c d-ä.json", b"{}"), method=method))
    target = tmp_path / "target"
    target.mkdir()

    unpack(archive, target)

    assert (target / "main.py").read_bytes() == GOOD[0][1]
    assert (target / "lib" / "c d-ä.json").read_text() == "{}"
