"""Bounds of a function's log, in memory and on disk."""

import os
from pathlib import Path

from executor.log_spool import Log, LogFile, LogSpool


def read(file: LogFile | None) -> bytes:
    assert file is not None
    written = os.pread(file.descriptor, 1 << 20, 0)
    file.close()
    return written


def test_short_logs_stay_in_memory(tmp_path: Path) -> None:
    """Up to the bound itself; each call has its own."""
    spool = LogSpool(tmp_path, 10, 100)
    spool.write(b"01234")
    spool.write(b"56789")

    assert spool.take() == Log("0123456789")
    assert spool.take() == Log("")


def test_long_logs_are_whole_on_disk(tmp_path: Path) -> None:
    """Their beginning is the text; the file has no name that could be left behind."""
    spool = LogSpool(tmp_path, 10, 100)
    for number in range(8):
        spool.write(f"line {number}\n".encode())
    text, truncated, file = spool.take()

    assert (text, truncated) == ("line 0\nlin", True)
    assert read(file) == b"".join(b"line %d\n" % number for number in range(8))
    assert list(tmp_path.iterdir()) == []
    spool.write(b"next")
    assert spool.take() == Log("next")


def test_the_disk_is_bounded(tmp_path: Path) -> None:
    """What comes after the bound is dropped, in whatever pieces it comes."""
    spool = LogSpool(tmp_path, 10, 25)
    spool.write(b"a" * 9)
    spool.write(b"b" * 1_000)
    spool.write(b"c" * 1_000)

    assert read(spool.take().file) == b"a" * 9 + b"b" * 16


def test_nothing_goes_to_disk_where_nothing_may(tmp_path: Path) -> None:
    """LOGS_BYTES_MAX=0: the beginning is what there is."""
    spool = LogSpool(tmp_path, 4, 0)
    spool.write(b"abcdefgh")

    assert spool.take() == Log("abcd", truncated=True)


def test_without_a_disk_the_beginning_stays(tmp_path: Path) -> None:
    """A full or missing disk costs the rest of the log, not the invocation."""
    spool = LogSpool(tmp_path / "gone", 4, 100)
    spool.write(b"abcdefgh")

    assert spool.take() == Log("abcd", truncated=True)
