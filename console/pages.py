"""The pages: which template with which values, for a path and what was asked.

Not here: HTTP, access and headers (`web`); the figures (`overview`, `function`, ...).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from console.function import Folds, make_function, take
from console.gauges import Gauges
from console.invocation import make_invocation
from console.models import make_replays
from console.overview import make_overview
from console.projection import Projection
from console.trace import Traced, read_known, search
from shared.dead_letters import Letter, NeverAnEntryError, put_back, read_letter
from shared.inbox import LogUnavailableError
from shared.log import Log
from shared.settings import Settings
from shared.tail import Place, Tail
from shared.topology import DEAD, PROFILES
from tuner.adviser import Adviser

_REQUEUED_MAX = 1_000


@dataclass(frozen=True)
class Page:
    """What to answer. `name`: of the template; `to`: another address instead."""

    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    to: str = ""
    document: bytes | None = None  # instead of a page


@dataclass(frozen=True)
class Sources:
    """Where figures come from."""

    projection: Projection
    tail: Tail  # for look-ups; the reader has one of its own
    log: Log
    gauges: Gauges
    adviser: Adviser
    settings: Settings


def address(path: str, **query: str) -> str:
    """A path of the console; ids may hold anything."""
    return f"{path}?{urlencode(query)}" if query else path


class Pages:
    """One method for each path. Raise LogUnavailableError where the log is needed and away."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._projection = sources.projection
        self._folds = Folds()
        self._requeued: dict[tuple[int, str], str] = {}  # new entry ids, by letter

    def state(self) -> dict[str, Any]:
        """What every page shows."""
        with self._projection.lock:
            return {
                "problem": self._projection.problem,
                "read_at_ms": self._projection.read_at_ms,
                "letter_count": len(self._projection.letters),
            }

    def overview(self, _: Mapping[str, str]) -> Page:
        """How everything is."""
        sources = self._sources
        reading = sources.gauges.read()
        with self._projection.lock:
            view = make_overview(self._projection, reading, sources.settings)
        return Page("overview.html", {"view": view})

    def function(self, query: Mapping[str, str]) -> Page:
        """One function."""
        function_id = query.get("id", "")
        with self._projection.lock:
            taken = take(self._projection, function_id)
        if taken is None:
            return missing("function", function_id)
        view = make_function(taken, self._sources.adviser, self._folds)
        return Page("function.html", {"view": view})

    def invocation(self, query: Mapping[str, str]) -> Page:
        """One invocation."""
        request_id = query.get("id", "").strip()
        if not request_id:
            return Page(to="/")
        traced = self._trace(request_id)
        document = self._sources.tail.read_document(request_id)
        if not traced:
            return missing("invocation", request_id, document=document)
        return Page("invocation.html", {"view": make_invocation(request_id, traced, document)})

    def document(self, query: Mapping[str, str]) -> Page:
        """The result document as it is."""
        request_id = query.get("id", "")
        document = self._sources.tail.read_document(request_id)
        if document is None:
            return missing("document", request_id)
        return Page(document=document)

    def event(self, query: Mapping[str, str]) -> Page:
        """To the invocation that an event behind an advice is of."""
        event_id = query.get("id", "")
        with self._projection.lock:
            known = (one for one in self._projection.profiled if one.facts.event_id == event_id)
            found = next(known, None)
        if found is None:
            return missing("event", event_id, stream=PROFILES.name)
        return Page(to=address("/invocation", id=found.request_id) + f"#event-{event_id}")

    def replays(self, _: Mapping[str, str]) -> Page:
        """What replays wrote and what was changed."""
        cron = self._sources.settings.replay_cron
        with self._projection.lock:
            view = make_replays(self._projection, self._sources.adviser, cron)
        return Page("replays.html", {"view": view})

    def dead(self, _: Mapping[str, str]) -> Page:
        """What no stage could take."""
        with self._projection.lock:
            letters = list(reversed(self._projection.letters.values()))
        return Page("dead.html", {"letters": letters, "requeued": dict(self._requeued)})

    def letter(self, query: Mapping[str, str]) -> Page:
        """One dead letter."""
        letter = self._find_letter(query)
        if letter is None:
            return missing("letter", query.get("id", ""))
        requeued = self._requeued.get((letter.partition, letter.entry_id))
        return Page("letter.html", {"letter": letter, "requeued": requeued, "refused": ""})

    def requeue(self, form: Mapping[str, str]) -> Page:
        """Put one letter back, as `hearth dead requeue` does."""
        letter = self._find_letter(form)
        if letter is None:
            return missing("letter", form.get("id", ""))
        try:
            entry_id = put_back(self._sources.log, letter)
        except NeverAnEntryError as error:
            return Page("letter.html", {"letter": letter, "requeued": None, "refused": error}, 409)
        if len(self._requeued) >= _REQUEUED_MAX:
            self._requeued.clear()
        self._requeued[letter.partition, letter.entry_id] = entry_id
        return Page(to=address("/dead/letter", partition=str(letter.partition), id=letter.entry_id))

    def _trace(self, request_id: str) -> list[Traced]:
        with self._projection.lock:
            problem = self._projection.problem
            row = self._projection.invocations.get(request_id)
            entries = list(row.entries) if row else []
        if problem:
            raise LogUnavailableError(problem)
        tail = self._sources.tail
        return (read_known(tail, entries) if entries else []) or search(tail, request_id)

    def _find_letter(self, query: Mapping[str, str]) -> Letter | None:
        partition, entry_id = query.get("partition", "0"), query.get("id", "")
        if not (partition.isdecimal() and int(partition) < self._sources.settings.partitions):
            return None
        if not all(part.isdecimal() for part in entry_id.split("-", 1)):
            return None
        place = Place(DEAD, int(partition))
        (payload,) = self._sources.tail.read_entries([(place, entry_id)])
        return read_letter(place.partition, entry_id, payload) if payload else None


def missing(kind: str, name: str, **values: object) -> Page:
    """There is no such thing, and what to try."""
    return Page("missing.html", {"kind": kind, "name": name, "document": None, **values}, 404)
