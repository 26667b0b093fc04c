"""The faults of a run, drawn before it begins: the same seed gives the same plan. Pure.

Not here: how a fault is done (`saboteur`).
"""

import random
from dataclasses import dataclass

from tests.chaos.moods import FAIR, OF_AWS, OF_REDIS, Mood, Weather

STAGES = ("ingest", "executor", "profiler", "tuner", "publisher")
OF_STAGE_AND_AWS = ("ingest", "executor", "publisher")


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that goes wrong at `at_s` of a run, for `seconds`."""

    at_s: float
    kind: str  # kill | pause | network | disk | clock
    target: str  # a stage or a server; of a link, both of its ends; of a disk, what lies on it
    seconds: float
    weather: Weather = FAIR
    jump_s: float = 0.0  # of a clock

    @property
    def name(self) -> str:
        """Under which it is counted."""
        if self.kind == "network":
            service = f" {self.weather.service}" if self.weather.service else ""
            return f"network {self.weather.mood} {self.target.partition('-')[2]}{service}"
        return f"{self.kind} {self.target}"


@dataclass(frozen=True)
class Means:
    """What this machine lets a test do, besides killing its own processes."""

    disk: bool = False  # a small disk of one's own
    clock: bool = False
    engine: bool = False  # a Docker Engine of one's own


def draw_plan(seed: int, kills: int, seconds: float, means: Means) -> tuple[Fault, ...]:
    """`kills` kills spread over the run, and half as many other faults between them, by time."""
    chance = random.Random(seed)
    victims = [*STAGES, "redis", *(["engine"] if means.engine else [])]
    weights = [1.0, 1.0, 1.0, 1.0, 1.0, 1.2, *([0.05] if means.engine else [])]
    faults = [
        Fault(
            at_s=chance.uniform(0, seconds),
            kind="kill",
            target=chance.choices(victims, weights)[0],
            seconds=chance.choice((0.0, 0.1, 0.5)),
        )
        for _ in range(kills)
    ]
    faults += [_draw_other(chance, seconds, means) for _ in range(kills // 2)]
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def draw_kills(seed: int, kills: int, seconds: float, victim: str) -> tuple[Fault, ...]:
    """`kills` kills of one victim and nothing else."""
    chance = random.Random(seed)
    moments = sorted(chance.uniform(0, seconds) for _ in range(kills))
    return tuple(Fault(at_s, "kill", victim, 0) for at_s in moments)


def _draw_other(chance: random.Random, seconds: float, means: Means) -> Fault:
    at_s = chance.uniform(0, seconds)
    kinds = ["network"] * 6 + ["pause"] * 3 + ["disk"] * means.disk + ["clock"] * means.clock
    kind = chance.choice(kinds)
    if kind == "pause":
        # Some are longer than the silence after which a consumer counts as dead.
        target = chance.choice((*STAGES, "redis", "aws"))
        return Fault(at_s, kind, target, chance.choice((0.2, 0.6, 2.5)))
    if kind == "disk":
        return Fault(at_s, kind, chance.choice(("log", "state")), chance.uniform(0.5, 2))
    if kind == "clock":
        jump_s = chance.choice((-86_400.0, -3_600.0, -5.0, 5.0, 3_600.0, 86_400.0))
        return Fault(at_s, kind, chance.choice(STAGES), chance.uniform(1, 5), jump_s=jump_s)
    return _draw_network(chance, at_s)


def _draw_network(chance: random.Random, at_s: float) -> Fault:
    if chance.random() < 0.5:
        target = f"{chance.choice(STAGES)}-redis"
        mood = chance.choice(OF_REDIS)
        weather = Weather(mood, delay_s=chance.choice((0.005, 0.05)))
    else:
        target = f"{chance.choice(OF_STAGE_AND_AWS)}-aws"
        mood = chance.choice(OF_AWS)
        share = chance.choice((0.3, 1.0))
        service = "sqs" if target == "ingest-aws" else "s3"
        weather = Weather(mood, share, chance.choice((0.05, 0.5)), service)
    # A peer that is gone is noticed only after a while, whatever the weather is by then.
    seconds = 0.2 if weather.mood is Mood.DEAF else chance.choice((0.3, 1.0, 2.5))
    return Fault(at_s, "network", target, seconds, weather)
