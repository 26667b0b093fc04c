"""The usher of a FIFO queue: looks whose turn is over, and has the next of the group taken.

Not here: the order (`turns`). A turn is over when the log no longer knows the message as one of a
request under way: its result is published, or it is buried. Whichever process settled it.
"""

from dataclasses import dataclass

from ingest.take import Taker

LOOK_S = 0.02  # between two looks while somebody waits
_LOOKS_TO_TIDY = 250  # a group that nobody waits in is forgotten after so many looks


@dataclass(slots=True)
class Usher:
    """One thread owns it."""

    taker: Taker
    looks: int = 0

    def run_once(self) -> int:
        """One look; returns how many messages were taken.

        Raises LogUnavailableError and QueueUnavailableError; call it again and it goes on.
        """
        self.looks += 1
        turns = self.taker.desk.turns
        tidy = self.looks % _LOOKS_TO_TIDY == 0
        under_way = turns.under_way(waited_for=not tidy)
        if under_way:
            known = self.taker.desk.log.messages_of([request for _, _, request in under_way])
            for (name, message_id, _), messages in zip(under_way, known, strict=True):
                following = None if message_id in messages else turns.end(name, message_id)
                if following is not None:
                    self.taker.put([following])
        return self.taker.run_once()

    def hand_back(self) -> None:
        """Make all that waits for its turn visible to others at once; SQS keeps its order."""
        self.taker.put(self.taker.desk.turns.give_up_waiting())
        self.taker.hand_back()
