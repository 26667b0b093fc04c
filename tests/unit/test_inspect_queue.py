"""Queues that do not suit are named, with what to change."""

import json

import pytest

from ingest.inspect_queue import Inspector, judge_queue
from ingest.queue_errors import QueueDeniedError, QueueMissingError
from shared.settings import Settings

SETTINGS = Settings(visibility_timeout_s=60)
GOOD = {
    "VisibilityTimeout": "60",
    "MessageRetentionPeriod": "345600",
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn", "maxReceiveCount": 5}),
}


def names(attributes: dict[str, str], settings: Settings = SETTINGS) -> list[str]:
    return [one.name for one in judge_queue(attributes, settings)]


def test_a_good_queue_is_not_mentioned() -> None:
    """Nor is one that says nothing, or nothing that can be read."""
    assert names(GOOD) == []
    assert names({}) == []
    assert names({"VisibilityTimeout": "soon", "RedrivePolicy": "{"}) == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"VisibilityTimeout": "30"}, "visibility_timeout_short"),
        ({"RedrivePolicy": '{"maxReceiveCount":"1"}'}, "redrive_early"),
        ({"MessageRetentionPeriod": "3600"}, "retention_short"),
    ],
)
def test_what_does_not_suit_is_named(changed: dict[str, str], name: str) -> None:
    """By name, and with the figure to set."""
    (found,) = judge_queue({**GOOD, **changed}, SETTINGS)

    assert found.name == name
    assert "et " in found.advice


def test_our_own_lease_is_judged_too() -> None:
    """A lease of seconds does not outlast a pause of the network."""
    assert names(GOOD, Settings(visibility_timeout_s=10)) == ["lease_short"]


class Denying:
    """A queue that does not tell."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def attributes(self) -> dict[str, str]:
        """Raise."""
        raise self._error


def test_the_right_to_look_is_optional() -> None:
    """Without it there are no warnings; a queue that is not there is looked at later."""
    assert Inspector(Denying(QueueDeniedError("no")), SETTINGS).run_once() == []
    with pytest.raises(QueueMissingError):
        Inspector(Denying(QueueMissingError("none")), SETTINGS).run_once()
