"""Adoption: a starting ingest goes on extending the messages whose requests are under way.

Whoever received them may be dead; then nobody extends them, SQS delivers them again, and their
receive counts rise without an attempt. The log knows their receipts, which are good for any
process. Where their receiver lives, both extend for a while, which harms nothing.

Not here: extending (`keep`). Which requests are under way is read from the ends of the streams, so
that accepting one costs nothing more; a warm invocation's way has no part in this.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ingest.leases import Leases, Request
from ingest.ports import UnhandledLog
from ingest.settle import find_request
from shared.logging import log_event
from shared.topology import EXECUTIONS, PROFILES, PUBLICATIONS, RECOMMENDATIONS, REQUESTS

LOG = logging.getLogger(__name__)

_STREAMS = (REQUESTS, EXECUTIONS, PROFILES, RECOMMENDATIONS, PUBLICATIONS)
_ASKED_AT_ONCE = 500
_UNDER_WAY_MAX = 100_000  # SQS itself knows no more in flight


@dataclass(slots=True)
class Adopter:
    """Adopts once."""

    log: UnhandledLog
    leases: Leases
    done: bool = False

    def run_once(self, now_s: float) -> int:
        """Adopt what nobody of this process holds; returns how many. Raises LogUnavailableError."""
        if self.done:
            return 0
        requests = iter(dict.fromkeys(islice(self._under_way(), _UNDER_WAY_MAX)))
        count = 0
        while batch := list(islice(requests, _ASKED_AT_ONCE)):
            for request, messages in zip(batch, self.log.messages_of(batch), strict=True):
                for message_id, receipt in messages.items():
                    count += self.leases.adopt(message_id, receipt, request, now_s)
        self.done = True
        if count:
            log_event(LOG, "leases.adopted", count=count)
        return count

    def _under_way(self) -> Iterator[Request]:
        for stream in _STREAMS:
            for payload in self.log.unhandled(stream):
                request = find_request(payload)
                if request is not None:
                    yield request
