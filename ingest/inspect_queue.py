"""Whether the queue's own settings suit: warnings by name, each with what to change.

Hearth works with any queue; these settings decide what becomes of messages while it is down, slow
or cut off. Pure but for the inspector, which asks once at the start.

Not here: changing the queue. It is somebody else's.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ingest.queue_errors import QueueDeniedError
from shared.logging import log_event
from shared.settings import Settings

LOG = logging.getLogger(__name__)

# AWS advises at least 5: each death of an ingest, each outage of SQS's extensions may use one up.
RECEIVES_MIN = 5
# A pause of the process or of the network that lasts as long gives a message to somebody else.
VISIBILITY_S_MIN = 30
RETENTION_S_MIN = 86_400


class HasAttributes(Protocol):
    """The queue, as the inspector sees it."""

    def attributes(self) -> dict[str, str]:
        """Its settings by SQS's names. Raises QueueUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """A setting of the queue, or of ours for it, and what to change."""

    name: str
    advice: str


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks at the queue and says what does not suit."""

    queue: HasAttributes
    settings: Settings

    def run_once(self) -> list[Unsuitable]:
        """Log a warning for each; raises QueueUnavailableError. The right to look is optional."""
        try:
            attributes = self.queue.attributes()
        except QueueDeniedError as error:
            log_event(LOG, "queue.not_inspected", error=error)
            return []
        found = judge_queue(attributes, self.settings)
        for one in found:
            log_event(LOG, f"queue.{one.name}", level=logging.WARNING, advice=one.advice)
        return found


def judge_queue(attributes: Mapping[str, str], settings: Settings) -> list[Unsuitable]:
    """What does not suit, by SQS's attributes of the queue. What is unreadable is not judged."""
    judged = (
        _judge_lease(settings),
        _judge_visibility(_seconds(attributes, "VisibilityTimeout"), settings),
        _judge_redrive(attributes.get("RedrivePolicy", "")),
        _judge_retention(_seconds(attributes, "MessageRetentionPeriod")),
    )
    return [one for one in judged if one is not None]


def _judge_lease(settings: Settings) -> Unsuitable | None:
    lease_s = settings.visibility_timeout_s
    if lease_s >= VISIBILITY_S_MIN:
        return None
    advice = (
        f"VISIBILITY_TIMEOUT_S is {lease_s}: if ingest or the network pauses that long, SQS "
        "delivers messages again and their receive counts rise without an attempt. Set "
        f"{VISIBILITY_S_MIN} or more; it need not exceed the functions' time-outs."
    )
    return Unsuitable("lease_short", advice)


def _judge_visibility(timeout_s: int | None, settings: Settings) -> Unsuitable | None:
    lease_s = settings.visibility_timeout_s
    if timeout_s is None or timeout_s >= lease_s:
        return None
    advice = (
        f"the queue's own visibility time-out is {timeout_s} s, less than VISIBILITY_TIMEOUT_S "
        f"({lease_s}). Hearth asks for its own at each receive, but whoever else reads this queue, "
        f"as a console or a redrive does, gets {timeout_s} s. Set the queue to {lease_s} or more."
    )
    return Unsuitable("visibility_timeout_short", advice)


def _judge_redrive(policy: str) -> Unsuitable | None:
    try:
        count = int(json.loads(policy)["maxReceiveCount"]) if policy else RECEIVES_MIN
    except (ValueError, KeyError, TypeError):
        return None
    if count >= RECEIVES_MIN:
        return None
    advice = (
        f"the redrive policy moves a message after {count} receives. Functions that fail use none "
        "up, but each ingest that dies with messages in hand may use one: set maxReceiveCount to "
        f"{RECEIVES_MIN} or more."
    )
    return Unsuitable("redrive_early", advice)


def _judge_retention(retention_s: int | None) -> Unsuitable | None:
    if retention_s is None or retention_s >= RETENTION_S_MIN:
        return None
    advice = (
        f"SQS drops messages after {retention_s} s, also those that wait because the system is "
        f"full or down. Set MessageRetentionPeriod to {RETENTION_S_MIN} or more."
    )
    return Unsuitable("retention_short", advice)


def _seconds(attributes: Mapping[str, str], name: str) -> int | None:
    text = attributes.get(name, "")
    return int(text) if text.isdigit() else None
