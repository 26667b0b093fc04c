"""The corpus of hostile archives: each is made here, none is kept, every one must be refused.

Built from families (a name that leads out, a kind that is no file, ...) times places in the
archive, so that a guard that looks only at the first or the last member is seen.
"""

import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import product

GOOD = (("main.py", b"def handler(event, context): return 1\n"),)
MORE = (("lib/a.py", b"a = 1\n"), ("lib/b.py", b"b = 2\n"))

# Spellings that lead out of a folder somewhere: Unix, Windows, doubled, hidden in the middle.
SLIPS = (
    "../evil", "../../evil", "../../../../../../tmp/evil", "a/../../evil", "a/../../../evil",
    "a/b/../../../evil", "./../evil", "..", "../", "a/..", "a/../", "a/./../..", ".", "./", "./a",
    "a/./b", "a//b", "//evil", "/evil", "/tmp/evil", "/etc/cron.d/evil", "///evil", "/../evil",
    "..\\evil", "..\\..\\evil", "a\\..\\..\\evil", "\\evil", "\\\\server\\share\\evil", "a\\b",
    "../a\\..\\evil", "C:\\evil", "C:/evil", "C:evil", "c:..\\evil", "Z:/windows/evil", "a:b",
    "\\\\?\\C:\\evil", "\\\\.\\COM1", "a/..\\..\\evil", "....//....//evil",
    "a/" + "../" * 40 + "evil",
    "a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "\x01", "a/\x02/b", "a\x0b", "lib/../../main.py",
    "x" * 256, "x" * 300 + "/a", "a/" + "y" * 256, "/".join("abcdefgh" for _ in range(200)),
    "\u00e4" * 128, "\u4e00" * 86,
)  # fmt: skip

COLLISIONS = (
    ("a", "a"), ("a", "A"), ("a/b", "a/B"), ("A/b", "a/c"), ("a", "a/b"), ("a/b", "a"),
    ("a/b/c", "a/b"), ("main.py", "MAIN.PY"), ("main.py", "Main.py"), ("\u00e9", "e\u0301"),
    ("\u00df", "SS"), ("\u0130", "i\u0307"), ("\u212a", "k"), ("\ufb01", "FI"), ("a/", "a"),
    ("a", "a/"), ("dir/x", "DIR"), ("\u03c3", "\u03c2"),
)  # fmt: skip

KINDS = {
    "link": stat.S_IFLNK,
    "character-device": stat.S_IFCHR,
    "block-device": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "folder-named-as-file": stat.S_IFDIR,
    "no-kind-there-is": 0o170000,
}
LINK_TARGETS = (b"/etc/passwd", b"../../etc/shadow", b"/proc/self/environ", b".", b"", b"main.py")


def pack(
    *members: tuple[zipfile.ZipInfo | str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A zip of members whose names are written as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # doubled names are what some are about
        for member, content in members:
            info = spell(member)
            info.compress_type = method
            archive.writestr(info, content)
    return buffer.getvalue()


def spell(member: zipfile.ZipInfo | str) -> zipfile.ZipInfo:
    """A member whose name zipfile did not mend."""
    if isinstance(member, zipfile.ZipInfo):
        return member
    info = zipfile.ZipInfo("placeholder")
    info.filename = member
    info.create_system = 3
    info.external_attr = (
        stat.S_IFDIR | 0o755 if member.endswith("/") else stat.S_IFREG | 0o644
    ) << 16
    return info


def special(name: str, kind: int) -> zipfile.ZipInfo:
    """A member of a kind that is no file."""
    info = spell(name)
    info.external_attr = (kind | 0o777) << 16
    return info


def placed(
    label: str, *hostile: tuple[zipfile.ZipInfo | str, bytes]
) -> Iterator[tuple[str, bytes]]:
    """The hostile members alone, before, between and after good ones."""
    yield f"{label}-alone", pack(*hostile)
    yield f"{label}-first", pack(*hostile, *GOOD, *MORE)
    yield f"{label}-middle", pack(*GOOD, *hostile, *MORE)
    yield f"{label}-last", pack(*GOOD, *MORE, *hostile)


def make_slips() -> Iterator[tuple[str, bytes]]:
    """Names that lead elsewhere."""
    for number, name in enumerate(SLIPS):
        places = placed(f"slip-{number}", (name, b"evil"))
        # The first, alone, and one more place that differs from name to name.
        found = list(places)
        yield found[0]
        yield found[1 + number % 3]


def make_collisions() -> Iterator[tuple[str, bytes]]:
    """Two names for one place."""
    for number, (first, second) in enumerate(COLLISIONS):
        yield f"collision-{number}", pack((first, b""), *MORE, (second, b""))


def make_kinds() -> Iterator[tuple[str, bytes]]:
    """Members that are neither files nor folders."""
    for (label, kind), name in product(KINDS.items(), ("evil", "lib/evil")):
        yield from list(placed(f"{label}-{name.count('/')}", (special(name, kind), b"")))[::3]
    for number, target in enumerate(LINK_TARGETS):
        link = special("out", stat.S_IFLNK)
        yield f"link-target-{number}", pack((link, target), ("out/evil", b"evil"))


def make_encrypted() -> Iterator[tuple[str, bytes]]:
    """Members that say they are encrypted, in the local header, the directory, or both."""
    for label, offsets in (("both", (6, 8)), ("directory", (None, 8))):
        for bits in (0x01, 0x41):
            yield f"encrypted-{label}-{bits}", set_flags(pack(*GOOD), offsets, bits)


def set_flags(packed: bytes, offsets: tuple[int | None, int], bits: int) -> bytes:
    """Set flag bits in the local header and in the directory of the only member."""
    data = bytearray(packed)
    local, directory = offsets
    if local is not None:
        data[local] |= bits
    data[data.index(b"PK\x01\x02") + directory] |= bits
    return bytes(data)


def make_methods() -> Iterator[tuple[str, bytes]]:
    """Compressions that unpack without a bound, or that do not exist."""
    yield "bzip2", pack(*GOOD, method=zipfile.ZIP_BZIP2)
    yield "lzma", pack(*GOOD, method=zipfile.ZIP_LZMA)
    for method in (1, 6, 9, 10, 93, 95, 97, 98, 99, 0xFFFF):
        data = bytearray(pack(*GOOD))
        struct.pack_into("<H", data, 8, method)
        struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, method)
        yield f"method-{method}", bytes(data)


def make_bombs() -> Iterator[tuple[str, bytes]]:
    """Small archives that unpack to far more than their size allows."""
    mebibyte = bytes(1 << 20)
    yield "bomb-flat", pack(("zeros", mebibyte * 64))
    yield "bomb-many", pack(*[(f"zeros-{number}", mebibyte * 4) for number in range(16)])
    yield "bomb-late", pack(*GOOD, *MORE, ("zeros", mebibyte * 64))
    yield "bomb-that-lies", lie_about_size(pack(("zeros", mebibyte * 64)), 10)
    yield "bomb-overlapping", overlap(pack(("zeros", mebibyte * 4)), 40)


def lie_about_size(packed: bytes, size: int) -> bytes:
    """The headers tell of a small file."""
    data = bytearray(packed)
    struct.pack_into("<I", data, 22, size)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size)
    return bytes(data)


def overlap(packed: bytes, count: int) -> bytes:
    """Many directory entries for the same compressed bytes."""
    at = packed.index(b"PK\x01\x02")
    end = packed.index(b"PK\x05\x06")
    entry = packed[at:end]
    entries = b"".join(
        entry.replace(b"zeros", f"zer{number:02}".encode()) for number in range(count)
    )
    tail = bytearray(packed[end:])
    struct.pack_into("<HHI", tail, 8, count, count, len(entries))
    return packed[:at] + entries + bytes(tail)


def make_damaged() -> Iterator[tuple[str, bytes]]:
    """Truncated, wrong sums, lying offsets and counts, other formats, empty ones."""
    whole = pack(*GOOD, *MORE, ("data", zlib.compress(bytes(range(256)) * 64)))
    for number in range(1, 24):
        yield f"truncated-{number}", whole[: len(whole) * number // 24]
    broken = bytearray(pack(*GOOD, method=zipfile.ZIP_STORED))
    broken[40] ^= 0xFF
    yield "wrong-crc-stored", bytes(broken)
    directory = whole.index(b"PK\x01\x02")
    for label, offset, text in (
        ("offset-beyond", directory + 42, b"\xff\xff\xff\x7f"),
        ("name-too-long", directory + 28, b"\xff\xff"),
        ("crc", directory + 16, b"\0\0\0\0"),
        ("zip64-sizes-without-extra", directory + 20, b"\xff" * 8),
        ("local-signature", 0, b"XXXX"),
    ):
        data = bytearray(whole)
        data[offset : offset + len(text)] = text
        yield f"damaged-{label}", bytes(data)
    yield "empty-file", b""
    yield "empty-zip", pack()
    yield "gzip", b"\x1f\x8b\x08\0" + bytes(60)
    yield "tar", b"main.py".ljust(512, b"\0") + bytes(1024)
    yield "text", b"def handler(event, context): pass\n"
    yield "elf", b"\x7fELF" + bytes(200)
    yield "end-record-alone", b"PK\x05\x06" + bytes(18)
    yield "end-record-that-counts", b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 0, 0, 0)
    yield "zip64-locator-alone", b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"


def make_all() -> list[tuple[str, bytes]]:
    """The whole corpus, by label."""
    families = (make_slips, make_collisions, make_kinds, make_encrypted, make_methods, make_bombs,
                make_damaged)  # fmt: skip
    return [archive for family in families for archive in family()]
