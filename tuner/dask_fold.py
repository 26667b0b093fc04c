"""The same fold on a Dask cluster: each worker folds some functions, whole; `hearth replay --on`.

Not here: the fold (`account`). A function's events must be folded in order, so functions are shared
out and not time. Each worker reads the columns of all files, which is a small part of the work, and
takes the rows of its functions. What is still live is folded here, after it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from distributed import Client
from distributed import TimeoutError as ClusterTimeoutError

from shared.archive import ArchiveUnavailableError, open_archive
from shared.settings import Settings
from shared.stretch import Place
from shared.whole_log import Archived, Piece, Span, load
from tuner.account import Account, Accounts, resume_accounts, save_accounts
from tuner.columns import load_frame, read_frame
from tuner.facts import Facts
from tuner.history import HistoryError, Period, read_piece

_SHARES_PER_WORKER = 2  # a large one beside a small one
_ANSWER_SECONDS = 10


class Workers:
    """A cluster whose workers have this version of Hearth and reach the archive."""

    def __init__(self, address: str, settings: Settings) -> None:
        """Raises HistoryError where nobody answers."""
        try:
            self._client: Any = _make_client(address)
        except (OSError, ClusterTimeoutError, ValueError) as error:
            raise HistoryError(f"no Dask scheduler answers at {address}: {error}") from error
        self._settings = settings

    def fold(self, pieces: Iterable[Piece], period: Period) -> dict[str, Account]:
        """The accounts of all functions. Raises HistoryError."""
        places: list[Place] = []
        live: list[tuple[str, Facts]] = []
        for piece in pieces:
            if not isinstance(piece, Archived):
                live += list(read_piece(piece, period))
            elif period.may_cover(piece.place.first, piece.place.last):
                places.append(piece.place)
        accounts = Accounts(self._fold_archived(places, period))
        accounts.add(live)
        return accounts.freeze()

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def _fold_archived(self, places: Sequence[Place], period: Period) -> dict[str, Account]:
        known: dict[str, Account] = {}
        if not places:
            return known
        client, settings = self._client, self._settings
        counts: Counter[str] = Counter()
        try:
            # Not pure: a file of the same name may be in another archive.
            for rows in client.gather(client.map(_count, places, settings=settings, pure=False)):
                counts.update(rows)
            shares = share_out(counts, _SHARES_PER_WORKER * len(client.scheduler_info()["workers"]))
            tasks = [
                client.submit(fold_share, settings, tuple(places), share, period, pure=False)
                for share in shares
            ]
            for saved in client.gather(tasks):
                known.update(resume_accounts(saved))
        except ArchiveUnavailableError as error:
            raise HistoryError(str(error)) from error
        return known


def _make_client(address: str) -> Any:  # noqa: ANN401 - distributed has no types
    make: Any = Client
    return make(address, timeout=_ANSWER_SECONDS, set_as_default=False)


def share_out(counts: Counter[str], count_max: int) -> list[tuple[str, ...]]:
    """Functions in so many shares of about the same number of rows."""
    shares: list[list[str]] = [[] for _ in range(max(min(count_max, len(counts)), 1))]
    sizes = [0] * len(shares)
    for function_id, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        smallest = sizes.index(min(sizes))
        shares[smallest].append(function_id)
        sizes[smallest] += rows
    return [tuple(share) for share in shares if share]


def fold_share(
    settings: Settings, places: Sequence[Place], functions: Sequence[str], period: Period
) -> bytes:
    """On a worker: the accounts of some functions out of some files, in their order."""
    archive = open_archive(settings)
    accounts = Accounts()
    for place in places:
        frame = load_frame(load(archive, place), Span(place.partition))
        rows = read_frame(frame.filter(pl.col("function_id").is_in(functions)))
        accounts.add(one for one in rows if period.covers(one[1].at_ms))
    return save_accounts(accounts.freeze())


def _count(place: Place, settings: Settings) -> dict[str, int]:
    """On a worker: rows by function."""
    content = load(open_archive(settings), place)
    names = load_frame(content, Span(place.partition)).get_column("function_id")
    return dict(Counter(names.drop_nulls().to_list()))
