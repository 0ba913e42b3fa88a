"""Records of live runs as they would be, without an engine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flyball.benchmarks.depth.record import Record, Setup, Turned, Visit

PHASES = ["1 x code", "4 x prose"]
ARMS: list[tuple[str, float | None]] = [
    ("off", None),
    ("fixed?depth=1", None),
    ("fixed?depth=3", None),
    ("ucb", 1.0),
    ("learned", 0.0),
    ("learned", 1.0),
]
LATENCY: dict[tuple[str, str], float] = {
    ("fixed?depth=1", "1 x code"): 0.8,
    ("fixed?depth=1", "4 x prose"): 0.7,
    ("fixed?depth=3", "1 x code"): 0.5,
    ("fixed?depth=3", "4 x prose"): 0.9,
    ("ucb", "1 x code"): 0.6,
    ("ucb", "4 x prose"): 0.75,
    ("learned", "1 x code"): 0.5,
    ("learned", "4 x prose"): 0.7,
}
"""Of every arm in every phase, off = 1; the speed makes no difference here."""


def setup(**change: object) -> Setup:
    values = {
        "target": "target",
        "draft": "draft",
        "k_max": 3,
        "max_tokens": 64,
        "guard": False,
        "slice_seconds": 1.0,
        "cold_seconds": 60.0,
        "arms": ARMS,
        "phases": PHASES,
        "machine": {"cores": 2},
        "versions": {"flyball": "0"},
    }
    return Setup(**values | change)


def visit(
    number: int,
    phase: str,
    rng: np.random.Generator,
    *,
    noise: float = 0.0,
    cold: bool = False,
    sitting: int = 0,
    served: float = 0.0,
    factor: Mapping[str, float] | None = None,
    seconds: float = 1.0,
) -> Visit:
    """A visit on a machine of any speed; each arm's latency is off by its own noise.

    Args:
        number: of the round.
        phase: its name.
        rng: of machine and noise.
        noise: relative, of every arm.
        cold: whether only depth 1 and ours take turns.
        sitting: which.
        served: before it.
        factor: on the latency, by policy.
        seconds: of every turn.
    """
    machine = float(rng.uniform(0.5, 2.0))
    turns = []
    for arm, (policy, speed) in enumerate(ARMS):
        if cold and (policy, speed) not in {("fixed?depth=1", None), ("learned", 1.0)}:
            continue
        latency = LATENCY.get((policy, phase), 1.0) * (factor or {}).get(policy, 1.0)
        latency *= machine * float(np.exp(noise * rng.standard_normal()))
        sums = (100.0 * latency, 100.0, 2e-6 * machine, 60.0, 3.0, 20.0)
        turns.append(Turned(arm, seconds, sums))
    return Visit(sitting, number, phase, cold, served, turns)


def record(rounds: int, noise: float = 0.0, seed: int = 0) -> Record:
    """A run of some rounds, without a cold start."""
    rng = np.random.default_rng(seed)
    visits = [visit(n, phase, rng, noise=noise) for n in range(rounds) for phase in PHASES]
    return Record(setup(), seed, visits, sittings=1)
