"""Accounts: what the bill of each function is made of, added up invocation by invocation.

Not here: where invocations come from (`history`), what is concluded (`replay`). An account can be
saved and gone on with elsewhere; the bytes are the same.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct, msgpack

from shared.events import Limits
from tuner.accumulator import Accumulator
from tuner.backtest import read_limits
from tuner.facts import Facts
from tuner.floor import MEBIBYTE
from tuner.state import FunctionState


class Account(Struct, frozen=True, array_like=True):
    """Of one function."""

    state: FunctionState
    limits: Limits  # of the latest invocation
    as_run: dict[int, tuple[int, int]]  # size -> invocations, billed ms
    peaks: dict[int, int]  # peak in MB, rounded up -> invocations

    def count_short(self, memory_mb: int) -> int:
        """How many invocations would have run out of so much memory."""
        return sum(count for peak_mb, count in self.peaks.items() if peak_mb > memory_mb)


class _Open:
    """An account in the making."""

    __slots__ = ("accumulator", "as_run", "latest", "limits", "peaks")

    def __init__(self, account: Account | None) -> None:
        self.latest: Facts | None = None
        self.limits = account.limits if account else None
        self.accumulator = Accumulator.thaw(account.state) if account else Accumulator()
        self.as_run = {size: list(row) for size, row in account.as_run.items()} if account else {}
        self.peaks = dict(account.peaks) if account else {}


class Accounts:
    """Of all functions. Mutable: whoever folds owns it."""

    def __init__(self, known: Mapping[str, Account] | None = None) -> None:
        self._open = {name: _Open(account) for name, account in (known or {}).items()}

    def add(self, history: Iterable[tuple[str, Facts]]) -> None:
        """More invocations, in the order of the log."""
        for function_id, facts in history:
            account = self._open.get(function_id)
            if account is None:
                account = self._open[function_id] = _Open(None)
            account.accumulator.add(facts)
            account.latest = facts
            row = account.as_run.setdefault(facts.memory_mb, [0, 0])
            row[0] += 1
            row[1] -= -(facts.run_us + (facts.init_us if facts.is_cold else 0)) // 1_000
            if facts.peak_bytes is not None:
                peak_mb = -(-facts.peak_bytes // MEBIBYTE)
                account.peaks[peak_mb] = account.peaks.get(peak_mb, 0) + 1

    def freeze(self) -> dict[str, Account]:
        """What is there so far, by function."""
        return {name: _close(account) for name, account in sorted(self._open.items())}


def save_accounts(accounts: Mapping[str, Account]) -> bytes:
    """As bytes; equal accounts give equal bytes."""
    return _encoder.encode(dict(sorted(accounts.items())))


def resume_accounts(saved: bytes) -> dict[str, Account]:
    """The accounts that were saved."""
    return _decoder.decode(saved)


def _close(account: _Open) -> Account:
    limits = account.limits if account.latest is None else read_limits(account.latest)
    assert limits is not None, "an account is opened with an invocation"
    return Account(
        account.accumulator.freeze(),
        limits,
        {size: (count, billed_ms) for size, (count, billed_ms) in account.as_run.items()},
        dict(sorted(account.peaks.items())),
    )


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(dict[str, Account])
