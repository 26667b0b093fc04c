"""Whose turn it is in each message group of a FIFO queue. Pure, safe for several threads.

SQS gives nothing of a group while a message of it is in flight; but one batch may hold several,
and between the deletion of a message and the mark that it is settled the next one may come. So a
group's next message is taken only when the log says that the one before has its result. Groups do
not wait for each other.

Not here: asking the log (`usher`). Of a standard queue no message has a group: all go through.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from ingest.leases import Request
from ingest.queue import Message


class Place(Enum):
    """Where a message that was received goes."""

    NEXT = "next"  # it is its turn
    WAITS = "waits"
    KNOWN = "known"  # it waited already


@dataclass(slots=True)
class _Group:
    current: str  # message id
    request: Request | None = None  # None: not in the log yet
    waiting: deque[Message] = field(default_factory=deque)


class Turns:
    """Message groups with a message that is not settled, as this process knows them."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many groups are under way."""
        return len(self._groups)

    def place(self, message: Message) -> Place:
        """Whether a message may be taken now, or waits here in the order of arrival.

        A new delivery of what waits already takes the place of the old one.
        """
        if message.group is None:
            return Place.NEXT
        with self._lock:
            group = self._groups.get(message.group)
            if group is None:
                self._groups[message.group] = _Group(message.message_id)
                return Place.NEXT
            if group.current == message.message_id:
                return Place.NEXT
            return _queue_up(group.waiting, message)

    def begin(self, name: str, message_id: str, request: Request) -> None:
        """The log has the request of a message whose turn it is."""
        with self._lock:
            group = self._groups.get(name)
            if group is not None and group.current == message_id:
                group.request = request

    def under_way(self, *, waited_for: bool) -> list[tuple[str, str, Request]]:
        """Group, message id and request of the turns; those alone that somebody waits for."""
        with self._lock:
            return [
                (name, group.current, group.request)
                for name, group in self._groups.items()
                if group.request is not None and (group.waiting or not waited_for)
            ]

    def end(self, name: str, message_id: str) -> Message | None:
        """A turn is over; returns the message whose turn it is now."""
        with self._lock:
            group = self._groups.get(name)
            if group is None or group.current != message_id:
                return None
            if not group.waiting:
                del self._groups[name]
                return None
            following = group.waiting.popleft()
            group.current, group.request = following.message_id, None
            return following

    def give_up_waiting(self) -> list[Message]:
        """Everything that waits, in order; nothing does any more."""
        with self._lock:
            waiting = [one for group in self._groups.values() for one in group.waiting]
            for group in self._groups.values():
                group.waiting.clear()
            return waiting


def _queue_up(waiting: deque[Message], message: Message) -> Place:
    for place, one in enumerate(waiting):
        if one.message_id == message.message_id:
            waiting[place] = message
            return Place.KNOWN
    waiting.append(message)
    return Place.WAITS
