"""Bytes that nobody can read stop nobody who reads the log for others: one rule for all of them."""

import pytest

from archiver.table import to_frame
from shared.codec import UndecodableError, decode, read_invocation_id
from traces.journey import Journeys

UNREADABLE = [
    b"",
    b"no event",
    b"[" * 100_000,
    b'{"type":1}',
    b'{"type":"Invocation\xff","invocation_id":"\xff"}',  # no UTF-8: not msgspec's own error
]


@pytest.mark.parametrize("payload", UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_kept_and_passed_over(payload: bytes) -> None:
    """The archive has the bytes, a trace has nothing of them, a stage learns that it may bury."""
    row = to_frame([("1-0", payload)]).row(0, named=True)

    assert payload == (row["payload"] if row["event"] is None else row["event"].encode())
    assert row["type"] is None
    assert Journeys().note("1-0", payload) is None
    assert "" == read_invocation_id(payload)
    with pytest.raises(UndecodableError):
        decode(payload)
