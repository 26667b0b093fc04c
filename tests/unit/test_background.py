"""Work on threads comes back to the loop: all of it, at any moment, failures of our own too."""

import pytest

from executor.background import Background
from shared.wire import wait_readable


def finish(background: Background) -> None:
    wait_readable([background.fileno()], 5)
    background.clear_wake()
    background.finish_done()


def test_every_result_comes_back_whenever_it_is_looked_for() -> None:
    """Looking in the very moment in which work ends loses nothing and raises nothing."""
    background = Background(4)
    results: list[int] = []
    for number in range(3_000):
        background.submit(lambda number=number: number, results.append)  # type: ignore[misc]
        background.finish_done()
    while background.running:
        finish(background)

    assert sorted(results) == list(range(3_000))
    background.close()


def test_a_wake_up_that_was_taken_back_does_not_come_again() -> None:
    """An idle loop is not woken for nothing."""
    background = Background(1)
    background.submit(int)
    while background.running:
        finish(background)
    background.clear_wake()

    assert wait_readable([background.fileno()], 0) == []
    background.close()


def test_a_failure_of_our_own_is_raised_in_the_loop() -> None:
    """A bug on a thread is not lost."""
    background = Background(1)

    def fail() -> None:
        raise ZeroDivisionError

    background.submit(fail)
    wait_readable([background.fileno()], 5)

    with pytest.raises(ZeroDivisionError):
        background.finish_done()
    background.close()


def test_closing_waits_for_continuations_that_submit_more() -> None:
    """The last sandbox that starts while the executor stops is destroyed, too."""
    background = Background(1)
    order: list[str] = []
    background.submit(
        lambda: order.append("start"),
        lambda _: background.submit(lambda: order.append("destroy")),
    )

    background.close()

    assert order == ["start", "destroy"]
