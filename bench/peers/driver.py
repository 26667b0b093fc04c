"""Drives one peer whose workers run already; prints what it measured as JSON.

    python driver.py huey_peer RUNS COUNT COUNT_FIVE_MS

Runs in the peers' environment. A latency is from before the call is sent until its result can be
read, by the fastest means that the peer offers; a rate from before the first of many is sent until
the last handler has ended (its result may still be on its way: in the peer's favour).
"""

import importlib
import json
import os
import select
import sys
import threading
import time

_SECONDS_MAX = 40.0


class Done:
    """Counts handlers that have ended."""

    def __init__(self) -> None:
        # For reading and writing: there is always a writer, so that it never ends.
        self._pipe = os.open(os.environ["PEERS_DONE"], os.O_RDWR)

    def clear(self) -> None:
        """Forget those that ended so far."""
        while select.select([self._pipe], [], [], 0)[0]:
            os.read(self._pipe, 1 << 16)

    def wait(self, count: int) -> None:
        """Until so many more have ended."""
        deadline = time.monotonic() + _SECONDS_MAX
        while count > 0:
            ready = select.select([self._pipe], [], [], max(deadline - time.monotonic(), 0))[0]
            if not ready:
                raise SystemExit(f"{count} calls did not end in {_SECONDS_MAX:.0f} s")
            count -= len(os.read(self._pipe, 1 << 16))


def main() -> None:
    """Measure and print."""
    name, runs, count, count_five_ms = sys.argv[1], *map(int, sys.argv[2:5])
    done = Done()
    peer = importlib.import_module(name).Peer()
    for _ in range(50):
        peer.call()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        peer.call()
        times.append((time.perf_counter() - began) * 1_000)
    times.sort()
    rates = {}
    for handler, many in (("noop", count), ("five_ms", count_five_ms)):
        done.clear()
        began = time.perf_counter()
        sender = threading.Thread(target=peer.send, args=(handler, many))
        sender.start()
        done.wait(many)
        rates[handler] = round(many / (time.perf_counter() - began))
        sender.join()
    print(
        json.dumps(
            {
                "p50_ms": round(times[len(times) // 2], 3),
                "p99_ms": round(times[int(len(times) * 0.99)], 3),
                "noop_per_second": rates["noop"],
                "five_ms_per_second": rates["five_ms"],
            }
        ),
        flush=True,
    )
    os._exit(0)  # some clients wait for threads of their own


if __name__ == "__main__":
    main()
