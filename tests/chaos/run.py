"""One run: a fleet, its load and its faults; then calm, the evidence, the verdicts.

Not here: the parts.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.evidence import find_interruptions, gather
from tests.chaos.fleet import Fleet, can_mount
from tests.chaos.load import FUNCTIONS, draw_load
from tests.chaos.plan import draw_kills, draw_plan
from tests.chaos.report import Report, count_faults, count_poison, find_recoveries, median
from tests.chaos.saboteur import Saboteur
from tests.chaos.sender import Listener, Sender, retry
from tests.e2e.client import Client

_SETTLED_SECONDS_MAX = 120
_TIMES_MAX = 1.3  # of the seconds asked for; then the load goes on without faults


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    seed: int
    kills: int
    seconds: float
    invocations: int
    only: str = ""  # the one kind of victim that is killed; nothing else goes wrong then


def run(size: Size, folder: Path) -> Report:
    """Run it; the fleet is ended afterwards."""
    fleet = Fleet(folder, {}, seed=size.seed, disk_mb=2_048 if can_mount() else 0)
    try:
        return _run(size, fleet)
    finally:
        fleet.close()


def _run(size: Size, fleet: Fleet) -> Report:
    settings = fleet.settings
    client = Client(settings.local_redis_port, str(settings.aws_endpoint), settings.queue_url)
    for name, files in FUNCTIONS.items():
        client.deploy(name, files)
    listener = Listener(settings.local_redis_port)
    sender = Sender(client, draw_load(size.seed), rate=size.invocations / size.seconds, at_once=300)
    if size.only:
        plan = draw_kills(size.seed, size.kills, size.seconds, size.only)
    else:
        plan = draw_plan(size.seed, size.kills, size.seconds, fleet.means)
    saboteur = Saboteur(fleet, plan, size.seed)
    began = time.monotonic()
    for part in (listener, sender, saboteur):
        part.start()
    deadline = began + _TIMES_MAX * size.seconds + _SETTLED_SECONDS_MAX
    while not saboteur.is_done or len(sender.sent) < size.invocations:
        sender.check()
        if time.monotonic() > deadline:
            break  # the verdicts will say what does not come to its end
        time.sleep(0.1)
    saboteur.stop()
    under_fire_s = time.monotonic() - began
    sender.stop()
    _wait_settled(fleet, client)
    seconds = time.monotonic() - began
    listener.stop()
    history = retry(lambda: gather(client, sender.sent))
    history.heard = listener.heard
    history.interruptions = find_interruptions(saboteur.injected)
    history.ended_processes = fleet.ended_by_itself
    recoveries = find_recoveries(history, saboteur.injected)
    return Report(
        seed=size.seed,
        seconds=seconds,
        under_fire_s=under_fire_s,
        invocations=len(history.requested),
        duplicates=sender.duplicates,
        poison=count_poison(history),
        kills=sum(one.fault.kind == "kill" for one in saboteur.injected),
        faults=count_faults(saboteur.injected),
        attempts=dict(sorted(Counter(one.attempt for one in history.ended).items())),
        recovery_p50_ms=median(recoveries),
        recovery_max_ms=max(recoveries, default=0),
        verdicts=check(history),
    )


def _wait_settled(fleet: Fleet, client: Client) -> None:
    """Until nothing is under way, or for so long that something never will."""
    deadline = time.monotonic() + _SETTLED_SECONDS_MAX
    calm = 0
    while calm < 3 and time.monotonic() < deadline:
        fleet.look_after()
        left = retry(lambda: (client.queue_size(), client.pending()))
        calm = calm + 1 if left == (0, {}) else 0
        time.sleep(0.3)
