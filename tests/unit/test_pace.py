"""Stages pause only while entries keep coming."""

from shared.pace import Pace


def pauses(counts_and_times: list[tuple[int, float]]) -> list[bool]:
    pace = Pace()
    return [pace.decide_pause(count, now) > 0 for count, now in counts_and_times]


def test_one_at_a_time_never_pauses() -> None:
    """At 1.3 ms an invocation nothing is gained by waiting."""
    assert not any(pauses([(1, number * 0.0013) for number in range(100)]))


def test_a_stream_of_small_batches_pauses_until_it_ends() -> None:
    """Four entries a millisecond gather; after a silence the first is handled at once."""
    busy = pauses([(4, number * 0.001) for number in range(10)])

    assert busy == [False] + [True] * 9
    assert pauses([(4, 0.0), (4, 0.001), (1, 0.5)]) == [False, True, False]


def test_empty_batches_do_not_pause() -> None:
    """An idle stage waits at the server, not here."""
    assert not any(pauses([(0, number * 0.0001) for number in range(100)]))
