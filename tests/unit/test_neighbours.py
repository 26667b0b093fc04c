"""What an executor believes of its neighbours."""

from executor.neighbours import Neighbours


def test_who_started_it_last_is_asked() -> None:
    """The latest to say so most likely still has it."""
    neighbours = Neighbours()
    neighbours.know("one", ["f", "g"])
    neighbours.know("two", ["f"])

    assert ("two", "one", None) == tuple(neighbours.find(name) for name in ("f", "g", "h"))


def test_what_turned_out_wrong_is_forgotten() -> None:
    """One function, or all of an executor that is gone."""
    neighbours = Neighbours()
    neighbours.know("one", ["f", "g"])
    neighbours.know("two", ["f"])
    neighbours.correct("two", "f")
    neighbours.correct("two", "never heard of")
    assert "one" == neighbours.find("f")

    neighbours.forget("one")

    assert (None, None) == (neighbours.find("f"), neighbours.find("g"))


def test_it_is_bounded() -> None:
    """The functions that nobody told of for longest go first."""
    neighbours = Neighbours()
    neighbours.know("one", [f"f{number}" for number in range(10_001)])

    assert (None, "one") == (neighbours.find("f0"), neighbours.find("f10000"))
