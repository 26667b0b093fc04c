"""Frames: what is encoded comes out whatever way it is cut, and nothing else gets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.frames import (
    BODY_BYTES_MAX,
    CALL,
    HEAD_BYTES_MAX,
    HEADER,
    KINDS,
    READY,
    Decoder,
    Frame,
    FrameError,
    encode,
)

HEADS = st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.text(max_size=20))
FRAMES = st.builds(Frame, st.sampled_from(sorted(KINDS)), HEADS, st.binary(max_size=300))


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_any_cut(frames: list[Frame], lengths: list[int]) -> None:
    """However the bytes are cut on their way, the same frames come out."""
    stream = b"".join(encode(frame.kind, frame.head, frame.body) for frame in frames)
    decoder = Decoder()

    found: list[Frame] = []
    while stream:
        for length in lengths:
            found += decoder.feed(stream[:length])
            stream = stream[length:]

    assert frames == found
    assert decoder.is_empty


@given(st.binary(max_size=2_000))
def test_noise(noise: bytes) -> None:
    """Bytes of any kind are frames, an unfinished frame or a FrameError."""
    try:
        frames = Decoder().feed(noise)
    except FrameError:
        return
    assert all(frame.kind in KINDS for frame in frames)


@given(st.binary(min_size=1, max_size=1).filter(lambda kind: kind not in KINDS))
def test_unknown_kind(kind: bytes) -> None:
    with pytest.raises(FrameError, match="unknown kind"):
        Decoder().feed(HEADER.pack(kind, 2, 0) + b"{}")


@pytest.mark.parametrize(
    ("head_length", "body_length"),
    [(HEAD_BYTES_MAX + 1, 0), (2, BODY_BYTES_MAX + 1), (2**32 - 1, 2**32 - 1)],
)
def test_too_long(head_length: int, body_length: int) -> None:
    """A length that is too large is refused before anything of it has come."""
    with pytest.raises(FrameError, match="at most"):
        Decoder().feed(HEADER.pack(CALL, head_length, body_length))


@pytest.mark.parametrize(
    "head", [b"", b"[]", b"{", b"1", b"\xff", b"[" * 60_000, b'{"a":NaN}', b'{"id":"\xff"}']
)
def test_head_is_no_object(head: bytes) -> None:
    with pytest.raises(FrameError, match="not a JSON object"):
        Decoder().feed(HEADER.pack(READY, len(head), 0) + head)


def test_largest_frame() -> None:
    """The agreed bounds are inclusive."""
    head: dict[str, object] = {"a": "x" * (HEAD_BYTES_MAX - 8)}
    body = b"y" * BODY_BYTES_MAX

    assert [Frame(CALL, head, body)] == Decoder().feed(encode(CALL, head, body))


@pytest.mark.parametrize(
    ("kind", "head", "body"),
    [
        (b"X", {}, b""),
        (CALL, {"a": "x" * HEAD_BYTES_MAX}, b""),
        (CALL, {}, b"y" * (BODY_BYTES_MAX + 1)),
    ],
)
def test_encoder_keeps_the_bounds(kind: bytes, head: dict[str, object], body: bytes) -> None:
    with pytest.raises(FrameError):
        encode(kind, head, body)
