"""A projection: state folded from the events that a stage has handled.

Not here: the state and what an event changes in it; a stage brings its own `apply`.
"""

from collections.abc import Callable

from shared.codec import UndecodableError, decode
from shared.events import Anything
from shared.log import Log
from shared.topology import Stream


def fold_handled(
    log: Log, stream: Stream, partitions: int, apply: Callable[[Anything], None]
) -> int:
    """Apply every event that the stream's group has handled, oldest first in each partition.

    Returns how many there were. Whoever calls it must be the only consumer that goes on from
    there. Raises LogUnavailableError.
    """
    count = 0
    for partition in range(partitions):
        for payload in log.handled(stream, partition):
            try:
                event = decode(payload)
            except UndecodableError:
                continue  # it was buried when it was handled
            apply(event)
            count += 1
    return count
