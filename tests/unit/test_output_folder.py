"""OUTPUT_DIR on a real disk: noticing, selecting, removing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.empty_folder import remove_folder
from executor.output_files import (
    FILES_MAX,
    OutputFilesError,
    fits_event,
    make_name,
    select_files,
)
from executor.output_folder import OutputFolder
from shared.events import S3Object


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "output"
    place.mkdir()
    return place


@pytest.fixture
def folder(place: Path) -> Iterator[OutputFolder]:
    folder = OutputFolder.open(place)
    assert folder.empty()
    yield folder
    folder.close()


def test_every_write_is_noticed(folder: OutputFolder, place: Path) -> None:
    """At once after it was emptied, and whatever times the function sets."""
    for _ in range(50):
        assert not folder.was_written()
        (place / "file").write_text("x")
        os.utime(place, ns=(0, 0))
        assert folder.was_written()
        assert folder.empty()
        assert [] == list(place.iterdir())


def test_a_file_that_is_gone_again_is_noticed(folder: OutputFolder, place: Path) -> None:
    """Its disk space may still be taken."""
    (place / "file").write_text("x")
    (place / "file").unlink()

    assert folder.was_written()
    assert 0 == folder.measure_bytes()


def test_links_lead_nowhere(folder: OutputFolder, place: Path, tmp_path: Path) -> None:
    """Neither a folder, nor a file, nor one that became a link since it was seen."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (place / "folder").symlink_to(outside)
    (place / "file").symlink_to(outside / "secret")
    os.link(outside / "secret", place / "hard")

    assert () == select_files(folder, 1_000, "p/").files
    for path in ("folder/secret", "file", "hard", "../outside/secret"):
        with pytest.raises(OSError, match=r"."):
            os.close(folder.open_file(path))
    assert folder.empty()
    assert "secret" == (outside / "secret").read_text()


def test_the_bounds(folder: OutputFolder, place: Path) -> None:
    """Count and size; both name what to do."""
    for number in range(FILES_MAX):
        (place / str(number)).write_text("12")
    assert FILES_MAX == len(select_files(folder, FILES_MAX * 2, "p/").files)

    with pytest.raises(OutputFilesError, match="holds 2000 bytes; at most 1999 are taken"):
        select_files(folder, 1_999, "p/")
    (place / "more").touch()
    with pytest.raises(OutputFilesError, match="holds 1001 files; at most 1000"):
        select_files(folder, 1 << 20, "p/")
    for number in range(10_000):
        (place / f"{number}.folder").mkdir()
    with pytest.raises(OutputFilesError, match="more than 10000 files and folders"):
        select_files(folder, 1 << 20, "p/")


def test_what_was_not_uploaded_is_named(folder: OutputFolder, place: Path) -> None:
    """A file that vanished between the look and the upload."""
    for name in ("a", "b"):
        (place / name).touch()
    selection = select_files(folder, 1_000, "p/")

    told = selection.without_missing([S3Object(bucket="x", key="p/a")], "p/").describe_left_out()

    assert "OUTPUT_DIR: left out b: gone, or closed to us\n" == told


def test_keys_too_long_are_left_out(folder: OutputFolder, place: Path) -> None:
    """S3 takes 1,024 bytes."""
    deep = place.joinpath(*["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "file").touch()

    selection = select_files(folder, 1_000, "outputs/one/")

    assert () == selection.files
    assert "its key would have more than 1024 bytes" in selection.describe_left_out()


def test_two_names_of_one_key(folder: OutputFolder, place: Path) -> None:
    """A name that reads like another one's spelling does not take its place."""
    (place / "a\n").touch()
    (place / "a%0A").touch()

    selection = select_files(folder, 1_000, "p/")

    assert 1 == len(selection.files)
    assert 1 == len(selection.left_out)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a b/c+d.txt", "a b/c+d.txt"),
        ("한국어", "한국어"),
        (os.fsdecode(b"\xff\x00"[:1]), "%FF"),
        ("tab\there\x7f", "tab%09here%7F"),
        ("100%", "100%"),
    ],
)
def test_names(path: str, name: str) -> None:
    """Text stays as it is; all else is spelt out."""
    assert name == make_name(path)


def test_long_lists_do_not_fit() -> None:
    """An event has room for a few hundred places."""
    places = [S3Object(bucket="bucket", key=f"outputs/one/{n:0100}") for n in range(1_000)]

    assert fits_event(places[:100])
    assert not fits_event(places)


def test_removing_what_is_deep_locked_and_plenty(tmp_path: Path) -> None:
    """Without recursion, and links are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    script = "for i in $(seq 1500); do mkdir -p d; cd d; done; touch deep"
    subprocess.run(["/bin/sh", "-c", script], cwd=doomed, check=True)
    (doomed / "locked" / "inner").mkdir(parents=True)
    (doomed / "locked").chmod(0)
    (doomed / "link").symlink_to(outside)
    for number in range(300):
        (doomed / str(number)).touch()

    assert remove_folder(doomed)
    assert remove_folder(doomed)
    assert not doomed.exists()
    assert (outside / "kept").exists()
