"""What the command line counts and how it is written: tables, moments, batches."""

import time
from typing import Any

import click
import pytest

from cli.moment import Moment
from cli.screen import fold_table, format_figure, measure, write_records, write_table
from cli.sender import count_in_batch
from cli.summary import find_percentile

ROWS: list[dict[str, Any]] = [
    {"function": "thumb", "as_run_usd": 0.0000123, "memory_mb": 1_024},
    {"function": "all", "as_run_usd": None, "memory_mb": 0},
]


def test_a_pipe_gets_columns() -> None:
    """The names as they are in JSON, figures to the right, nothing cut."""
    assert [
        "function  as_run_usd  memory_mb",
        "thumb      0.0000123      1,024",
        "all                -          0",
    ] == write_table(ROWS)


def test_a_terminal_gets_headings_on_several_lines() -> None:
    """As narrow as the figures allow."""
    assert [8, 9, 6] == measure(ROWS)
    assert [
        "             as run  memory",
        "function        usd      mb",
        "thumb     0.0000123   1,024",
        "all               -       0",
    ] == [click.unstyle(line) for line in fold_table(ROWS, 2)]


def test_a_narrow_terminal_gets_records() -> None:
    """A line a figure."""
    lines = [click.unstyle(line) for line in write_records(ROWS)]

    assert ["function    thumb", "as run usd  0.0000123", "memory mb   1,024", ""] == lines[:4]


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, "-"), (1_234_567, "1,234,567"), (2.5e-06, "0.0000025"), (75.0, "75.0"), (True, "True")],
)
def test_figures(figure: object, text: str) -> None:
    """Dollars of a few calls are no powers of ten."""
    assert text == format_figure(figure)


def test_moments() -> None:
    """A date, a time with its zone, how long ago."""
    kind = Moment()
    now_ms = time.time_ns() // 1_000_000

    assert 1_763_856_000_000 == kind.convert("2025-11-23", None, None)
    assert 1_763_852_400_000 == kind.convert("2025-11-23T00:00+01:00", None, None)
    assert abs(kind.convert("90s", None, None) - (now_ms - 90_000)) < 5_000
    assert abs(kind.convert("1.5h", None, None) - (now_ms - 5_400_000)) < 5_000


@pytest.mark.parametrize(
    ("input_bytes", "expected"), [(10, 10), (100_000, 2), (200_000, 1), (262_144, 1)]
)
def test_a_batch_is_no_larger_than_a_message(input_bytes: int, expected: int) -> None:
    """Both bounds of SQS hold."""
    assert expected == count_in_batch([{"input": "x" * input_bytes}, {"input": ""}])


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (99, 4), (100, 4), (1, 1)])
def test_percentiles_are_values_that_were_seen(percent: int, expected: float) -> None:
    """The nearest rank."""
    assert expected == find_percentile([1, 2, 3, 4], percent)
