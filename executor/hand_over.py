"""Leaves an invocation that would start cold here to an executor that has its function warm.

Executors tell one another on a channel which functions they started. Whoever would have to start a
sandbox for a function that another has warm offers it the entry; who has an idle sandbox takes it,
everybody else says no at once. Without an answer the owner goes on after OFFER_MS. Whoever finds a
warm sandbox at home asks nobody, so a warm call pays nothing for this.

1. The entry has one owner at any time: an offer is taken, or taken back, in one step of the log.
2. Work is conserved: only an idle sandbox takes, and no invocation is offered twice.
3. What is told may be lost, late or wrong: it costs a cold start or OFFER_MS, never an invocation.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import Struct

from executor.background import Background
from executor.invocation import Invocation
from executor.neighbours import Neighbours
from shared import metrics
from shared.codec import UNREADABLE
from shared.inbox import Delivery, LogUnavailableError
from shared.offers import Offers
from shared.topology import REQUESTS

OFFER_MS = 100  # without an answer; a cold start takes longer
_SILENCE_MAX = 3  # offers in a row that an executor left unanswered; then it is taken for gone
_STANDS_MS = 5_000  # an offer in the log; its owner takes it back long before
_AGAIN_S = 1.0  # the log does not answer


class Kind(StrEnum):
    """What is told."""

    HELLO = "hello"  # tell me what you have
    WARM = "warm"  # I have these functions
    OFFER = "offer"  # take this entry, if you have an idle sandbox for it
    TAKEN = "taken"  # it is mine
    BUSY = "busy"  # none that is idle
    NONE = "none"  # none at all
    LEAVING = "leaving"


class Told(Struct, frozen=True, omit_defaults=True):
    """A message among executors."""

    kind: Kind
    sender: str
    receiver: str = ""  # empty: all
    functions: tuple[str, ...] = ()
    partition: int = 0
    entry_id: str = ""


class Ways(NamedTuple):
    """What the loop does with what comes of it."""

    place: Callable[[Invocation], None]  # it stays: go on
    gone: Callable[[Invocation], None]  # another executor has it
    begin: Callable[[Delivery], None]  # it came from another
    has_idle: Callable[[str], bool]
    list_warm: Callable[[], Iterable[str]]


@dataclass(slots=True)
class _Offer:
    invocation: Invocation
    receiver: str
    deadline_s: float


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Told)


class HandOver:
    """The offers of one executor; the loop owns it, but for the thread that listens."""

    def __init__(self, consumer: str, offers: Offers, background: Background, ways: Ways) -> None:
        self._consumer = consumer
        self._offers = offers
        self._background = background
        self._ways = ways
        self._neighbours = Neighbours()
        self._open: dict[tuple[int, str], _Offer] = {}
        self._heard: deque[Told] = deque()
        self._unanswered: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.taking = 0  # entries on their way here

    def start(self) -> None:
        """Begin to listen."""
        self._thread = threading.Thread(target=self._listen, name="neighbours", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take part no more."""
        self._stopping.set()
        if self._thread is not None:
            self._tell(Told(Kind.LEAVING, self._consumer))  # it wakes our own listener too
            self._thread.join(2.0)
        self._offers.close()

    @property
    def is_waited_for(self) -> bool:
        """An offer stands: `attend` wants to be called soon."""
        return bool(self._open)

    def announce(self, function_id: str) -> None:
        """A sandbox of the function has started here."""
        if self._thread is not None:
            told = Told(Kind.WARM, self._consumer, functions=(function_id,))
            self._background.submit(lambda: self._tell(told))

    def offer(self, invocation: Invocation) -> bool:
        """Leave it to another executor for a moment, if one has its function warm."""
        receiver = self._neighbours.find(invocation.request.function_id)
        if receiver is None or invocation.offered or invocation.input is not None:
            return False
        if not invocation.request.reuse:
            return False
        invocation.offered = True
        delivery = invocation.delivery
        place = (delivery.partition, delivery.entry_id)
        self._open[place] = _Offer(invocation, receiver, time.monotonic() + OFFER_MS / 1_000)
        told = Told(Kind.OFFER, self._consumer, receiver, (invocation.request.function_id,), *place)
        message = _encoder.encode(told)

        def work() -> bool:
            try:
                self._offers.offer(delivery, self._consumer, _STANDS_MS, message)
            except LogUnavailableError:
                return False
            return True

        self._background.submit(work, lambda sent: None if sent else self._keep(place))
        return True

    def attend(self) -> None:
        """Take in what was told, and back what nobody answered."""
        while self._heard:
            self._hear(self._heard.popleft())
        if not self._open:
            return
        now_s = time.monotonic()
        for place, offer in list(self._open.items()):
            if now_s >= offer.deadline_s:
                self._count_silence(offer.receiver)
                self._keep(place, "unanswered")

    def _count_silence(self, receiver: str) -> None:
        self._unanswered[receiver] += 1
        if self._unanswered[receiver] >= _SILENCE_MAX:
            self._neighbours.forget(receiver)
            del self._unanswered[receiver]

    def _hear(self, told: Told) -> None:
        if told.sender == self._consumer or told.receiver not in ("", self._consumer):
            return
        self._unanswered.pop(told.sender, None)
        match told.kind:
            case Kind.HELLO:
                functions = tuple(self._ways.list_warm())
                answer = Told(Kind.WARM, self._consumer, told.sender, functions)
                self._background.submit(lambda: self._tell(answer))
            case Kind.WARM:
                self._neighbours.know(told.sender, told.functions)
            case Kind.OFFER:
                self._consider(told)
            case Kind.BUSY | Kind.TAKEN:
                self._keep((told.partition, told.entry_id))
            case Kind.NONE:
                self._neighbours.correct(told.sender, told.functions[0])
                self._keep((told.partition, told.entry_id))
            case Kind.LEAVING:
                self._neighbours.forget(told.sender)

    def _consider(self, told: Told) -> None:
        function_id = told.functions[0]
        if not self._ways.has_idle(function_id):
            kind = Kind.BUSY if function_id in self._ways.list_warm() else Kind.NONE
            self._background.submit(lambda: self._answer(kind, told))
            return
        place = Delivery(REQUESTS, told.partition, told.entry_id, 1, b"")

        def work() -> Delivery | None:
            try:
                taken: Delivery | None = self._offers.take(place, told.sender, self._consumer)
            except LogUnavailableError:  # if it is ours all the same, it is claimed after a while
                return None
            if taken is not None:
                self._answer(Kind.TAKEN, told)
            return taken

        self.taking += 1
        self._background.submit(work, self._taken)

    def _taken(self, delivery: Delivery | None) -> None:
        self.taking -= 1
        if delivery is not None:
            self._ways.begin(delivery)

    def _keep(self, place: tuple[int, str], why: str = "kept") -> None:
        offer = self._open.pop(place, None)
        if offer is None:
            return

        def work() -> bool | None:
            try:
                kept: bool = self._offers.keep(offer.invocation.delivery, self._consumer)
            except LogUnavailableError:
                return None
            return kept

        def done(kept: bool | None) -> None:  # noqa: FBT001 - a result, not an option
            if kept is None:  # whose it is cannot be known before the log answers
                offer.deadline_s = time.monotonic() + _AGAIN_S
                self._open[place] = offer
            elif kept:
                metrics.HAND_OVERS.labels(why).inc()
                self._ways.place(offer.invocation)
            else:
                metrics.HAND_OVERS.labels("given").inc()
                self._ways.gone(offer.invocation)

        self._background.submit(work, done)

    def _answer(self, kind: Kind, told: Told) -> None:
        self._tell(
            Told(kind, self._consumer, told.sender, told.functions, told.partition, told.entry_id)
        )

    def _tell(self, told: Told) -> None:
        try:
            self._offers.tell(_encoder.encode(told))
        except LogUnavailableError:
            return  # the next cold start, or the next hello, says it again

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                listener = self._offers.listen()
                self._tell(Told(Kind.HELLO, self._consumer))
                try:
                    while not self._stopping.is_set():
                        self._note(listener.get(1.0))
                finally:
                    listener.close()
            except LogUnavailableError:
                self._stopping.wait(_AGAIN_S)

    def _note(self, message: bytes | None) -> None:
        if message is None:
            return
        try:
            self._heard.append(_decoder.decode(message))
        except UNREADABLE:
            return  # of a later version
        if not self._stopping.is_set():
            self._background.wake()
