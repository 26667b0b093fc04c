"""Every event type has a golden file, for ever: what was stored once can be read in any version."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from shared.codec import UndecodableError, decode, encode
from shared.events import Anything, derive_event_id
from shared.topology import STREAMS, stream_of

GOLDEN = Path(__file__).parent.parent / "golden" / "events"
FILES = sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden_events_are_read_and_written_unchanged(file: Path) -> None:
    """Decoding and encoding a stored event gives the same bytes."""
    stored = file.read_bytes().strip()

    assert stored == encode(decode(stored))


def test_the_golden_files_of_every_event_type_show_all_its_fields() -> None:
    """A new type or field cannot be forgotten; a new field gets a new file, the old ones stay."""
    for kind in get_args(Anything):
        files = GOLDEN.glob(f"{kind.__name__}.*.json")
        stored = set().union(*(msgspec.json.decode(file.read_bytes()) for file in files))
        fields = {field.name for field in msgspec.structs.fields(kind)} - {"schema_version"}
        assert fields == stored - {"type"}, kind.__name__


def test_every_event_type_has_one_stream() -> None:
    """The table of streams names each type once."""
    names = [kind.__name__ for kind in get_args(Anything)]

    assert sorted(names) == sorted(event for stream in STREAMS for event in stream.events)
    assert all(stream_of(name).name for name in names)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'{"type":"Unheard"}', b'{"type":"ResultPublished"}', b"\xff\xfe",
     b"[" * 100_000, b'{"type":"Result\xffPublished"}', b'{"invocation_id":"\xff"}'],
)  # fmt: skip
def test_bytes_that_are_no_event_are_told_apart(payload: bytes) -> None:
    """Garbage raises the one error that stages bury on."""
    with pytest.raises(UndecodableError):
        decode(payload)


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    """An older stage reads what a newer one wrote."""
    stored = (GOLDEN / "ResultPublished.1.json").read_bytes().strip()
    later = stored[:-1] + b',"invented_later":{"a":[1]}}'

    assert decode(stored) == decode(later)


def test_event_ids_depend_on_cause_type_and_ordinal_only() -> None:
    """A repeated handling gives the same id, anything else another."""
    assert derive_event_id("a", "T") == derive_event_id("a", "T")
    assert (
        len({derive_event_id(*key) for key in (("a", "T"), ("b", "T"), ("a", "U"), ("a", "T", 1))})
        == 4
    )
