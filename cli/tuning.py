"""`hearth report | backtest | replay | whatif | ledger`: what the tuner says of history, read-only.

Not here: any figure; each command reads a history and prints what the tuner made of it.
"""

import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from cli.command import Command, as_json_option
from cli.failure import Failure
from cli.history import open_source, reads_history
from cli.screen import find_width, print_json, print_rows
from shared.settings import Settings
from tuner.adviser import Adviser, make_adviser
from tuner.backtest import Outcomes, add_up, backtest
from tuner.history import HistoryError
from tuner.ledger import Change, read_ledger
from tuner.policy import Policy
from tuner.price_lists import PriceBookError, find_book
from tuner.replay import Tuned, WhatIf, fold_all, replay, what_if
from tuner.report import make_report
from tuner.report_svg import draw
from tuner.report_text import write

OBJECTIVES = click.Choice(["cost", "balanced", "speed", "latency"])


def find_adviser(settings: Settings, objective: str | None, price_book: str | None) -> Adviser:
    """The present adviser, with another objective or price book where one is named."""
    try:
        adviser = make_adviser(settings)
        book = find_book(price_book) if price_book else adviser.book
    except PriceBookError as error:
        raise click.UsageError(f"{error}.") from error
    policy = adviser.policy
    if objective:
        policy = msgspec.structs.replace(policy, objective=objective)
    return adviser._replace(policy=policy, book=book)


@click.command(
    "report",
    cls=Command,
    examples=(
        ("hearth report thumb", "the curve and the advice, in the terminal"),
        ("hearth report thumb --svg thumb.svg", "as a picture"),
        ("hearth report thumb --objective cost --since 7d", "of a week, for the least money"),
    ),
)
@click.argument("function_id", metavar="FUNCTION")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the picture to this file.")
@click.option("--objective", type=OBJECTIVES, help="Another aim than TUNER_OBJECTIVE.")
@click.option("--price-book", metavar="NAME", help="Other prices: a name or a JSON file.")
@reads_history
@click.pass_obj
def report_command(settings: Settings, /, function_id: str, **options: Any) -> None:
    """Cost and duration of a function over memory: seen, predicted, advised."""
    adviser = find_adviser(settings, options["objective"], options["price_book"])
    source = open_source(settings, options)
    accounts = fold_all(one for one in source.read() if one[0] == function_id)
    if function_id not in accounts:
        raise Failure(
            f"No invocation of {function_id} in this period. `hearth invoke {function_id}` calls "
            "it, `hearth top` shows what is called."
        )
    account = accounts[function_id]
    report = make_report(function_id, account.state, account.limits, adviser)
    if report is None:
        raise Failure(
            f"No run of {function_id} succeeded and could be timed: there is no curve yet. "
            f"`hearth tail --function {function_id} --since 1h --no-follow` shows what happened."
        )
    if options["svg"]:
        options["svg"].write_text(draw(report))
    if options["as_json"]:
        print_json(msgspec.to_builtins(report))
    else:
        click.echo("\n".join(write(report, find_width())))


@click.command(
    "backtest",
    cls=Command,
    examples=(
        ("hearth backtest", "all that is live"),
        ("hearth backtest --archive history --no-live --json", "archived history, for programs"),
    ),
)
@reads_history
@click.pass_obj
def backtest_command(settings: Settings, /, **options: Any) -> None:
    """Was past advice right? Walks forward through history and scores it by what came after."""
    adviser = find_adviser(settings, None, None)
    functions = list(backtest(open_source(settings, options).read(), adviser))
    rows = [(one.function_id, one.outcomes) for one in functions]
    rows.append(("all", add_up(functions)))
    figures = [{"function": name, **summarise(outcomes)} for name, outcomes in rows]
    print_rows(figures, as_json=options["as_json"])


def summarise(outcomes: Outcomes) -> dict[str, Any]:
    """What a person wants to know of the counts; None where there is nothing to divide by."""

    def divide(part: float, whole: int) -> float | None:
        return round(part / whole * 100, 2) if whole else None

    return {
        "invocations": outcomes.invocations,
        "predictions": outcomes.predictions,
        "covered_percent": divide(outcomes.covered, outcomes.predictions),
        "error_percent": divide(outcomes.error_sum, outcomes.predictions),
        "violations": outcomes.violations,
        "below_out_of_memory": outcomes.below_out_of_memory,
        "slack_percent": divide(outcomes.slack_sum, outcomes.slack_count),
        "regret_percent": divide(outcomes.regret_sum, outcomes.regret_count),
    }


@click.command(
    "replay",
    cls=Command,
    examples=(
        ("hearth replay --policy cost", "what if the aim had been the least money?"),
        (
            "hearth replay --latency-ms-max 500 --since 7d",
            "or 500 ms for nineteen calls of twenty?",
        ),
    ),
)
@click.option("--policy", "objective", type=OBJECTIVES, help="Another objective.")
@click.option("--latency-ms-max", type=click.IntRange(0), default=0,
              help="The ceiling of latency.")  # fmt: skip
@click.option("--price-book", metavar="NAME", help="Other prices: a name or a JSON file.")
@reads_history
@click.pass_obj
def replay_command(settings: Settings, /, **options: Any) -> None:
    """Tune a period again, read-only: old against new for each function, with a total."""
    old = find_adviser(settings, None, None)
    new = find_adviser(settings, options["objective"], options["price_book"])
    if options["latency_ms_max"]:
        policy = msgspec.structs.replace(
            new.policy, objective="latency", latency_ms_max=options["latency_ms_max"]
        )
        new = new._replace(policy=policy)
    _check_latency(new.policy)
    tuned = list(replay(open_source(settings, options).read(), new, old))
    print_rows([_round(one) for one in (*tuned, _total_of(tuned))], as_json=options["as_json"])


@click.command(
    "whatif",
    cls=Command,
    examples=(
        ("hearth whatif --memory 512", "all functions at 512 MB"),
        ("hearth whatif --arch arm64", "by the prices of the other architecture"),
        ("hearth whatif --price-book cellar.json", "by prices of your own (docs/tuning.md)"),
    ),
)
@click.option("--memory", "memory_mb", type=click.IntRange(128, 10_240), help="MB.")
@click.option("--arch", type=click.Choice(["x86", "arm64"]), help="Lambda's prices of it.")
@click.option("--price-book", metavar="NAME", help="Other prices: a name or a JSON file.")
@reads_history
@click.pass_obj
def whatif_command(settings: Settings, /, **options: Any) -> None:
    """Price history again: at another size, on another architecture, by other prices.

    Another architecture changes the prices alone: how fast it is for a function is not known.
    """
    now = find_adviser(settings, None, None).book
    name = options["price_book"]
    if options["arch"] and not name:
        name = f"lambda-{options['arch']}-{settings.aws_region}"
    then = find_adviser(settings, None, name).book
    source = open_source(settings, options)
    rows = list(what_if(source.read(), options["memory_mb"], (now, then)))
    print_rows([_round(one) for one in (*rows, _total_of_what_if(rows))],
               as_json=options["as_json"])  # fmt: skip


@click.command(
    "refresh",
    cls=Command,
    examples=(("hearth refresh", "what `hearth run replay` does by the clock, at once"),),
)
@as_json_option
@click.pass_obj
def refresh_command(settings: Settings, /, *, as_json: bool) -> None:
    """Fold all history into new models now; a running tuner goes on from them."""
    # APScheduler is imported by those alone who need it.
    schedule = importlib.import_module("tuner.replay_schedule")
    try:
        count = schedule.refresh(
            settings, lambda done: click.echo(f"{done:,} invocations folded", err=as_json)
        )
    except (schedule.ReplayRunningError, HistoryError) as error:
        raise Failure(f"{error}.") from error
    if as_json:
        print_json({"functions": count})
    else:
        click.echo(f"{count:,} functions refreshed")


@click.command(
    "ledger",
    cls=Command,
    examples=(
        ("hearth ledger", "every change so far"),
        ("hearth ledger --since 30d --json", "of a month, for programs"),
    ),
)
@reads_history
@click.pass_obj
def ledger_command(settings: Settings, /, **options: Any) -> None:
    """Every change of a function's size: what it was to save, and what it saved."""
    adviser = find_adviser(settings, None, None)
    changes = list(read_ledger(open_source(settings, options).read(), adviser))
    rows = [{**_round(one), "at_ms": _tell(one.at_ms)} for one in changes]
    if not rows and not options["as_json"]:
        click.echo(
            "No function changed its size in this period: send its messages with another memoryMb, "
            "such as `hearth invoke FUNCTION --memory MB`."
        )
        return
    print_rows(rows, as_json=options["as_json"])


def _tell(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds")


def _round(row: Tuned | WhatIf | Change) -> dict[str, Any]:
    return {
        name: round(value, 9) if isinstance(value, float) else value
        for name, value in row._asdict().items()
    }


def _total_of(rows: Sequence[Tuned]) -> Tuned:
    return Tuned(
        function_id="all",
        invocations=sum(row.invocations for row in rows),
        memory_mb=0,
        old_mb=0,
        new_mb=0,
        as_run_usd=sum(row.as_run_usd for row in rows),
        old_usd=sum(row.old_usd for row in rows),
        new_usd=sum(row.new_usd for row in rows),
        short=sum(row.short for row in rows),
    )


def _total_of_what_if(rows: Sequence[WhatIf]) -> WhatIf:
    return WhatIf(
        function_id="all",
        invocations=sum(row.invocations for row in rows),
        memory_mb=0,
        run_us=0,
        run_now_us=0,
        as_run_usd=sum(row.as_run_usd for row in rows),
        what_if_usd=sum(row.what_if_usd for row in rows),
        short=sum(row.short for row in rows),
    )


def _check_latency(policy: Policy) -> None:
    if policy.objective == "latency" and not policy.latency_ms_max:
        raise click.UsageError("latency needs a ceiling: --latency-ms-max MILLISECONDS.")
