"""The window between who fetches parts and who hands them on."""

import threading
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from executor.input_window import Part, Window


def claim_all(window: Window) -> list[Part]:
    return list(iter(window.claim, None))


def fill(window: Window, part: Part, source: bytes) -> None:
    while (at := window.reached(part)) < part.end and (room := window.room(part, at)) is not None:
        room[:] = source[at : at + len(room)]
        window.filled(part, at + len(room))


def drain(window: Window) -> Iterator[bytes]:
    while (view := window.take()) is not None:
        yield bytes(view)
        window.taken(len(view))


def test_parts_cover_the_object_once() -> None:
    """The last one is as long as what is left."""
    assert claim_all(Window(25, 10, 100)) == [Part(0, 10), Part(10, 20), Part(20, 25)]
    assert claim_all(Window(0, 10, 100)) == []


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 300),
    st.integers(1, 50),
    st.integers(1, 120),
    st.integers(1, 5),
)
def test_every_byte_comes_once_and_in_order(
    size: int, part_bytes: int, window_bytes: int, threads: int
) -> None:
    """Whatever the sizes are and however many fetch."""
    source = bytes(number % 251 for number in range(size))
    window = Window(size, part_bytes, window_bytes)

    def fetch() -> None:
        while (part := window.claim()) is not None:
            fill(window, part, source)

    fetchers = [threading.Thread(target=fetch) for _ in range(threads)]
    for one in fetchers:
        one.start()
    found = b"".join(drain(window))
    for one in fetchers:
        one.join(10)

    assert found == source
    assert window.taken_bytes == size


def test_who_is_too_far_ahead_waits() -> None:
    """Only what was handed on makes room, and the next part always has some."""
    window = Window(30, 10, 15)
    first, second, third = claim_all(window)
    fill(window, first, b"a" * 30)
    room = window.room(second, 10)
    assert room is not None
    assert len(room) == 5
    waiting = threading.Thread(target=window.room, args=(third, 20))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    window.taken(10)  # as far as 25

    waiting.join(5)

    assert not waiting.is_alive()


def test_closing_releases_everybody() -> None:
    """Who takes and who fetches."""
    window = Window(30, 10, 10)
    first, second, _ = claim_all(window)
    found: list[object] = []
    waiting = [
        threading.Thread(target=lambda: found.append(window.take())),
        threading.Thread(target=lambda: found.append(window.room(second, 10))),
    ]
    for one in waiting:
        one.start()
    window.close()
    for one in waiting:
        one.join(5)

    assert found == [None, None]
    assert window.room(first, 0) is None
    assert window.claim() is None
