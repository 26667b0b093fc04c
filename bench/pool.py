"""`python -m bench.pool`: what each policy of the warm pool would have cost on recorded arrivals.

Replays arrivals through the executor's own Pool and policies, and prints cold starts against wasted
memory: GB-seconds of sandboxes that were there and idle. A sandbox that is started ahead is there
at once, and counts as wasted until it is used.

With --arrivals FILE (CSV, plain or .gz, the columns of the trace) that file alone; else the AWS
trace, where it is at hand, and made arrivals. The settings of the default policy were tuned on the
workloads marked "tuned" alone: the first 14 hours of the trace, and seed 1.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.arrivals import HOUR_MS, Arrival, make_arrivals, read_trace
from bench.pool_simulation import IdleSandbox, Simulation
from executor.keep_alive import BalancedHistogram, FixedKeepAlive, HybridHistogram
from executor.policy import GreedyDual, LeastRecentlyUsed, Policy, choose_policy
from executor.pool import Pool
from shared.settings import Settings

UNBOUNDED = 1 << 40
TRACE = Path(__file__).parents[2] / "shared/data/lambda-poisson-coldstart-2020/invocations.csv.gz"
TUNED_UNTIL_MS = 14 * HOUR_MS
BUDGET_MB = 16_384  # about half of what a fixed ten minutes keeps for the made functions


@dataclass(frozen=True, slots=True)
class Case:
    """A policy with its name and settings in words."""

    name: str
    setting: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Workload:
    """Arrivals under a name; those before `count_from_ms` only teach the policy."""

    name: str
    arrivals: list[Arrival]
    count_from_ms: int = 0
    memory_mb_max: int = 0  # of all sandboxes; 0: unbounded


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ratios are to the first case on the same workload."""

    arrivals: str
    policy: str
    setting: str
    memory_mb_max: int
    invocations: int
    cold: int
    cold_percent: float
    cold_percent_p75: float  # of functions, the third quartile
    wasted_gb_s: float
    started: int  # cold or ahead
    waited: int  # for room
    cold_ratio: float = 1.0
    wasted_ratio: float = 1.0


def list_cases() -> list[Case]:
    """The policies that are compared; the first is what the others are measured against."""
    fixed = [
        Case("fixed", f"{minutes} min", Policy(FixedKeepAlive(minutes * 60_000)))
        for minutes in (10, 1, 5, 20, 60)
    ]
    priced = [
        Case("balanced", f"{price} MB-s", Policy(BalancedHistogram(price), GreedyDual()))
        for price in (25_600, 76_800, 230_400)
    ]
    return [
        *fixed,
        Case("histogram", "start ahead", Policy(HybridHistogram(), LeastRecentlyUsed())),
        Case("histogram", "", choose_policy("histogram", prewarm=False)),
        Case("greedy_dual", "", choose_policy("greedy_dual", prewarm=False)),
        *priced,
        Case("balanced", "start ahead", choose_policy("balanced", prewarm=True)),
        Case("balanced", "", choose_policy("balanced", prewarm=False)),
    ]


def list_workloads(file: Path | None) -> list[Workload]:
    """What is replayed. Where the AWS trace is absent, says so on stderr and goes without."""
    if file is not None:
        return [Workload(file.name, read_trace(file))]
    made = make_arrivals(2)
    workloads = [
        Workload("made, seed 1 (tuned)", make_arrivals(1)),
        Workload("made, seed 2 (checked)", made),
        Workload(f"made, seed 2, {BUDGET_MB} MB", made, memory_mb_max=BUDGET_MB),
    ]
    if not TRACE.exists():
        print("The AWS trace is not at hand: made arrivals alone.", file=sys.stderr)
        return workloads
    trace = read_trace(TRACE)
    tuned = [arrival for arrival in trace if arrival.at_ms < TUNED_UNTIL_MS]
    return [
        Workload("AWS, first 14 h (tuned)", tuned),
        Workload("AWS, the rest (checked)", trace, count_from_ms=TUNED_UNTIL_MS),
        *workloads,
    ]


def simulate(workload: Workload, case: Case, base: Row | None = None) -> Row:
    """Replay a workload under a policy."""
    memory_mb_max = workload.memory_mb_max or UNBOUNDED
    pool: Pool[IdleSandbox] = Pool(UNBOUNDED, memory_mb_max, case.policy)
    replay = Simulation(pool, workload.count_from_ms)
    replay.run(workload.arrivals)
    invocations, cold = replay.invocations.total(), replay.cold.total()
    wasted_gb_s = replay.wasted_mb_ms / 1_024_000
    by_function = sorted(
        100 * replay.cold[name] / count for name, count in replay.invocations.items() if count
    )
    return Row(
        arrivals=workload.name,
        policy=case.name,
        setting=case.setting,
        memory_mb_max=workload.memory_mb_max,
        invocations=invocations,
        cold=cold,
        cold_percent=round(100 * cold / max(invocations, 1), 3),
        cold_percent_p75=round(by_function[len(by_function) * 3 // 4], 2) if by_function else 0.0,
        wasted_gb_s=round(wasted_gb_s, 3),
        started=replay.started,
        waited=replay.waited,
        cold_ratio=round(cold / base.cold, 3) if base and base.cold else 1.0,
        wasted_ratio=round(wasted_gb_s / base.wasted_gb_s, 3) if base and base.wasted_gb_s else 1.0,
    )


def compare(workload: Workload) -> list[Row]:
    """Every case on a workload."""
    first, *others = list_cases()
    base = simulate(workload, first)
    return [base, *(simulate(workload, case, base) for case in others)]


def print_rows(rows: list[Row]) -> None:
    """The table of one workload."""
    print(f"\n{rows[0].arrivals}: {rows[0].invocations} invocations")
    print(
        f"  {'policy':12}{'setting':14}{'cold %':>8}{'p75 %':>8}{'wasted GB-s':>13}"
        f"{'cold x':>8}{'wasted x':>9}{'started':>9}{'waited':>8}"
    )
    for row in rows:
        better = row.cold_ratio < 1 and row.wasted_ratio <= 1
        print(
            f"  {row.policy:12}{row.setting:14}{row.cold_percent:8.3f}{row.cold_percent_p75:8.2f}"
            f"{row.wasted_gb_s:13.0f}{row.cold_ratio:8.3f}{row.wasted_ratio:9.3f}{row.started:9}"
            f"{row.waited:8}{'  *' if better else ''}"
        )


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--arrivals", type=Path, help="CSV of arrivals, plain or .gz")
    parser.add_argument("--json", action="store_true", help="the rows, for programs")
    given = parser.parse_args()
    try:
        workloads = list_workloads(given.arrivals)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"--arrivals: cannot be read as a trace: {error!r}")
    tables = [compare(workload) for workload in workloads]
    if given.json:
        print(json.dumps([asdict(row) for rows in tables for row in rows], indent=1))
        return
    for rows in tables:
        print_rows(rows)
    print(
        f"\nDefault: {Settings().pool_policy}, without starting ahead: the last line of each table."
        "\nx: against a fixed ten minutes; * fewer cold starts and no more wasted memory than that."
    )


if __name__ == "__main__":
    main()
