"""A moment as people type it: a date, a time, or how long ago."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Moment(click.ParamType[int]):
    """How long ago (`90s`, `10m`, `2h`, `7d`) or ISO 8601, UTC unless it says otherwise.

    As Unix milliseconds.
    """

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        if ago := _AGO.fullmatch(value):
            return time.time_ns() // 1_000_000 - int(float(ago[1]) * _MS[ago[2]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is no date such as 2026-11-23 or 2026-11-23T14:30, and not how long "
                "ago, such as 90s, 10m, 2h or 7d",
                param,
                ctx,
            )
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1_000)
