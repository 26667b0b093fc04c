"""`python -m bench.fold`: how fast history is folded, and whether it stays so as it grows.

From the bytes of Parquet files to the state of each function, in CPU time of all threads, so that
neighbours on the machine count less. Not here: fetching the files; the live tuner.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence

from archiver.table import write_parquet
from shared.codec import encode
from shared.events import (
    Accuracy,
    Execution,
    InvocationProfiled,
    Limits,
    Outcome,
    Phases,
    Profile,
    Start,
)
from shared.whole_log import Span
from tuner.accumulator import Accumulator
from tuner.columns import load_frame, read_functions

COUNTS = (1_000_000, 2_000_000, 9_000_000, 10_000_000)
_BLOCK = 50_000
_FUNCTIONS = 200
_DAY_MS = 86_400_000


def make_events(count: int) -> Iterator[InvocationProfiled]:
    """Invocations of many functions, two sizes each, some cold."""
    generator = random.Random(1)
    for number in range(count):
        function = generator.randrange(_FUNCTIONS)
        memory_mb = (256, 1_024)[generator.random() < 0.2]
        run_us = int((20_000 + 500 * function) * generator.uniform(0.8, 1.25))
        yield InvocationProfiled(
            event_id=f"{number:032x}",
            invocation_id=f"req-{number}",
            causation_id="",
            occurred_at_ms=number * _DAY_MS // _BLOCK,
            execution=Execution(
                function_id=f"function-{function}",
                outcome=Outcome.SUCCEEDED,
                requested_at_ms=0,
                start=Start.COLD if generator.random() < 0.02 else Start.WARM,
                sandbox_id=f"s{generator.randrange(3)}",
                limits=Limits(memory_mb=memory_mb, timeout_ms=1,
                              cpu_quota_us=memory_mb * 20_000 // 1769),
                phases=Phases(run_us=run_us),
                input_bytes=generator.randrange(1, 4_000),
            ),
            profile=Profile(
                cpu_user_us=run_us // 3,
                memory_peak_bytes=generator.randrange(20 << 20, 60 << 20),
                memory_baseline_bytes=20 << 20,
                memory_accuracy=Accuracy.EXACT,
            ),
        )  # fmt: skip


def measure(counts: Sequence[int]) -> list[dict[str, float]]:
    """Fold on and on; the speed between each two counts."""
    rows = [(f"{n}-0", encode(event)) for n, event in enumerate(make_events(_BLOCK))]
    content = write_parquet(rows)
    accumulators: dict[str, Accumulator] = {}
    folded, results = 0, []
    for count in counts:
        began, began_at = time.process_time(), folded
        while folded < count:
            frame = load_frame(content, Span())
            for function_id, facts in read_functions(frame):
                accumulator = accumulators.get(function_id)
                if accumulator is None:
                    accumulator = accumulators[function_id] = Accumulator()
                accumulator.add_all(facts)
            folded += _BLOCK
        seconds = time.process_time() - began
        events = folded - began_at
        results.append({"history": folded, "events_a_second": round(events / seconds)})
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the speeds."""
    parser = argparse.ArgumentParser(prog="python -m bench.fold")
    parser.add_argument("--counts", default=COUNTS,
                        type=lambda text: [int(one) for one in text.split(",")])  # fmt: skip
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results = measure(options.counts)
    if options.json:
        print(json.dumps(results))
    else:
        for row in results:
            print(f"up to {row['history']:>12,} events: {row['events_a_second']:>9,} a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
