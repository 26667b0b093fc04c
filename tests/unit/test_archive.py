"""Hostile archives: refused with a reason, and nothing is ever written outside the folder."""

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor import archive
from executor.archive import ArchiveError, unpack

Entry = tuple[str, bytes, int]  # name, content, Unix mode


def pack(*entries: Entry, method: int = zipfile.ZIP_DEFLATED, system: int = 3) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as opened:
        for name, content, mode in entries:
            member = zipfile.ZipInfo("x")
            member.filename = member.orig_filename = name
            member.create_system = system
            member.external_attr = mode << 16
            member.compress_type = method
            opened.writestr(member, content)
    return packed.getvalue()


def plain(*names: str) -> bytes:
    return pack(*[(name, b"x", 0o100644) for name in names])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where archives are unpacked, deep enough to notice what leaves it."""
    place = tmp_path / "a" / "b" / "folder"
    place.mkdir(parents=True)
    return place


def try_unpack(folder: Path, packed: bytes) -> int:
    source = folder.parent / "archive"
    source.write_bytes(packed)
    return unpack(source, folder)


def everything_in(root: Path) -> set[str]:
    return {str(one.relative_to(root)) for one in root.rglob("*")}


def test_unpacking(folder: Path) -> None:
    """Files and folders with their content; modes readable by all, whatever the archive says."""
    before = os.umask(0o077)
    size = try_unpack(
        folder,
        pack(
            ("main.py", b"one", 0o100600),
            ("lib/", b"", 0o040700),
            ("lib/deep/er.py", b"three", 0o106777),
            ("bootstrap", b"#!/bin/sh", 0o100755),
        ),
    )
    os.umask(before)

    assert size == 17
    assert everything_in(folder) == {
        "main.py", "lib", "lib/deep", "lib/deep/er.py", "bootstrap",
    }  # fmt: skip
    modes = {one: stat.S_IMODE((folder / one).stat().st_mode) for one in everything_in(folder)}
    assert modes == {
        "main.py": 0o644,
        "lib": 0o755,
        "lib/deep": 0o755,
        "lib/deep/er.py": 0o755,
        "bootstrap": 0o755,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_bootstrap_from_windows_can_run(folder: Path) -> None:
    """Where files have no such bit, a bootstrap at the root gets it."""
    try_unpack(folder, pack(("bootstrap", b"x", 0), ("lib/bootstrap", b"x", 0), system=0))

    assert os.access(folder / "bootstrap", os.X_OK)
    assert not (folder / "lib/bootstrap").stat().st_mode & 0o111


NAMES = [
    ("../evil.py", "out of the function's folder"),
    ("a/../../evil.py", "out of the function's folder"),
    ("a/./b.py", "out of the function's folder"),
    ("a//b.py", "out of the function's folder"),
    ("..", "out of the function's folder"),
    ("/etc/evil", "relative"),
    ("//host/share", "relative"),
    ("C:/evil.py", "relative"),
    ("c:evil.py", "relative"),
    ("a\\b.py", "use / between folders"),
    ("..\\evil.py", "use / between folders"),
    ("a\nb.py", "control characters"),
    ("a\x7fb.py", "control characters"),
    ("x" * 256, "too long"),
    ("/".join(["x" * 200] * 6), "too long"),
]


@pytest.mark.parametrize(("name", "words"), NAMES)
def test_names_that_lead_elsewhere(folder: Path, name: str, words: str) -> None:
    """Nothing is written outside the folder; the reason says what to mend."""
    before = everything_in(folder.parents[2]) | {"a/b/archive"}
    with pytest.raises(ArchiveError, match=words):
        try_unpack(folder, plain(name))

    assert everything_in(folder.parents[2]) == before


def test_a_name_with_a_nul(folder: Path) -> None:
    """The zip reader cuts a name at NUL; the name as it was written is what counts."""
    packed = plain("main.pyXevil").replace(b"main.pyXevil", b"main.py\0evil")
    with pytest.raises(ArchiveError, match="control characters"):
        try_unpack(folder, packed)


COLLISIONS = [
    ("a.py", "a.py"),
    ("a.py", "A.PY"),
    ("lib/a.py", "LIB/b.py"),
    ("a", "a/b.py"),
    ("a/b.py", "a"),
    ("\u00e9.py", "e\u0301.py"),
    ("stra\u00dfe", "STRASSE"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("first", "second"), COLLISIONS)
def test_colliding_names(folder: Path, first: str, second: str) -> None:
    """Two members for one place: which would win depends on the reader."""
    with pytest.raises(ArchiveError, match="one place twice"):
        try_unpack(folder, plain(first, second))


KINDS = [
    (stat.S_IFLNK, "link"),
    (stat.S_IFBLK, "neither a file nor a folder"),
    (stat.S_IFCHR, "neither a file nor a folder"),
    (stat.S_IFIFO, "neither a file nor a folder"),
    (stat.S_IFSOCK, "neither a file nor a folder"),
    (stat.S_IFDIR, "neither a file nor a folder"),
]


@pytest.mark.parametrize(("kind", "words"), KINDS)
def test_no_links_and_no_devices(folder: Path, kind: int, words: str) -> None:
    """Only files and folders are made."""
    with pytest.raises(ArchiveError, match=words):
        try_unpack(folder, pack(("thing", b"/etc/passwd", kind | 0o777)))

    assert everything_in(folder) == set()


def test_a_link_cannot_be_written_through(folder: Path) -> None:
    """A link first and a file behind it: the link alone is refused."""
    packed = pack(
        ("out", b"/tmp", stat.S_IFLNK | 0o777),
        ("out/evil", b"x", 0o100644),
    )
    with pytest.raises(ArchiveError, match="link"):
        try_unpack(folder, packed)


def test_encrypted_members(folder: Path) -> None:
    """Nobody has the password."""
    packed = bytearray(plain("main.py"))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + offset] |= 1
    with pytest.raises(ArchiveError, match="encrypted"):
        try_unpack(folder, bytes(packed))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound(folder: Path, method: int) -> None:
    """Their decompressors give everything at once."""
    packed = pack(("main.py", bytes(1 << 20), 0o100644), method=method)
    with pytest.raises(ArchiveError, match="use deflate"):
        try_unpack(folder, packed)


def test_a_bomb(folder: Path) -> None:
    """Ending at the ratio: little of it reaches the disk."""
    packed = pack(("zeros", bytes(64 << 20), 0o100644))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        try_unpack(folder, packed)

    assert sum(one.stat().st_size for one in folder.iterdir()) <= archive.RATIO_FREE_BYTES


def test_a_bomb_of_overlapping_members(folder: Path) -> None:
    """Many names for the same compressed bytes count as many files."""
    packed = pack(("f000", bytes(8 << 20), 0o100644))
    start = packed.index(b"PK\x01\x02")
    entry = packed[start : start + 46 + 4]
    entries = b"".join(entry.replace(b"f000", b"f%03d" % n) for n in range(100))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(entries), start, 0)
    with pytest.raises(ArchiveError):
        try_unpack(folder, packed[:start] + entries + end)


def test_a_bomb_that_lies(folder: Path) -> None:
    """A header that claims one byte gets one byte, and a wrong sum."""
    packed = bytearray(pack(("zeros", bytes(64 << 20), 0o100644)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = packed.index(signature) + offset
        packed[place : place + 4] = struct.pack("<L", 1)
    with pytest.raises(ArchiveError, match="damaged"):
        try_unpack(folder, bytes(packed))


def test_too_many_members(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is bounded before anything is unpacked, and before zipfile reads a flood."""
    monkeypatch.setattr(archive, "FILES_MAX", 10)
    for count in (11, 30):
        with pytest.raises(ArchiveError, match="members"):
            try_unpack(folder, plain(*[f"f{n}" for n in range(count)]))

    assert everything_in(folder) == set()


def test_a_wrong_sum(folder: Path) -> None:
    """A byte that was flipped on the way is noticed."""
    packed = bytearray(pack(("main.py", b"abcdef", 0o100644), method=zipfile.ZIP_STORED))
    packed[packed.index(b"abcdef")] ^= 1
    with pytest.raises(ArchiveError, match="CRC"):
        try_unpack(folder, bytes(packed))


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"", "no zip archive"),
        (b"plain text", "no zip archive"),
        (b"\x1f\x8b\x08\x00rest", "gzip"),
        (pack(), "is empty"),
        (plain("main.py")[:-10], "no zip archive"),
    ],
)
def test_no_zip(folder: Path, packed: bytes, words: str) -> None:
    """The sender learns what was expected."""
    with pytest.raises(ArchiveError, match=words):
        try_unpack(folder, packed)


SAMPLE = pack(
    ("main.py", b"print(1)" * 50, 0o100644),
    ("lib/b.py", b"x", 0o100644),
    ("bootstrap", b"#!", 0o100755),
)


HEADERS = [place for place in range(len(SAMPLE)) if SAMPLE.startswith(b"PK", place)]
PLACES = st.integers(0, len(SAMPLE) - 1) | st.builds(
    lambda header, offset: min(header + offset, len(SAMPLE) - 1),
    st.sampled_from(HEADERS),
    st.integers(0, 50),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=400, deadline=None)
@given(edits=st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=8))
def test_damaged_archives(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]
) -> None:
    """Any damage ends in the one error or in files inside the folder."""
    root = tmp_path_factory.mktemp("damaged")
    folder = root / "folder"
    folder.mkdir()
    packed = bytearray(SAMPLE)
    for place, value in edits:
        packed[place] = value
    unpack_or_refuse(lambda: try_unpack(folder, bytes(packed)))

    assert {one.name for one in root.iterdir()} == {"folder", "archive"}
    assert not any(one.is_symlink() for one in folder.rglob("*"))


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, len(SAMPLE)), noise=st.binary(max_size=40))
def test_cut_archives(tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes) -> None:
    """So does an archive that was cut and continued with anything."""
    folder = tmp_path_factory.mktemp("cut") / "folder"
    folder.mkdir()
    unpack_or_refuse(lambda: try_unpack(folder, SAMPLE[:cut] + noise + SAMPLE[cut:]))


def unpack_or_refuse(call: Callable[[], int]) -> None:
    try:
        call()
    except ArchiveError:
        return
