"""Training a learner in the simulator of a profile, under traffic of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from ..inference.profile import Profile
from ..inference.simulator.engine import Simulator
from ..inference.simulator.generated import drawn_traffic
from ..inference.simulator.profiled import simulated
from ..inference.simulator.settings import SimulatorSettings
from ..policies.runner import Runner
from ..policies.snapshot import Snapshot, analytic
from .learned_policy import STEPPED
from .learner import Learner
from .member import Member, simulated_info
from .promotion import candidate_of
from .warm_start import Origin, WarmStart

Progress = Callable[[float, str], None]
"""Is told the share that is done, in [0, 1], and what goes on."""

ENGINES: Final = 8
"""Simulated at a time."""

_INTERVALS: Final = 96  # of an engine under one traffic
_EPSILON: Final = 0.15  # share of depths drawn at random: what is never done is never learned
_MOST: Final = 64  # requests that an engine runs at once, at most
_CONTEXT: Final = 4096  # tokens of a request, at most


class WarmingError(ValueError):
    """Nothing can be learned in simulation, with the reason."""


@dataclass(frozen=True, kw_only=True)
class WarmingOptions:
    """Every option.

    Raises:
        ValueError: naming the option, what it was and what it may be.
    """

    profile: Path
    """file of `flyball profile`"""
    prices: str = "compute"
    """the cost model: compute or engine_time"""
    episodes: int = 32
    """different traffics; each of 96 intervals of 8 engines"""
    seed: int = 0
    """of everything random"""

    def __post_init__(self) -> None:
        if not 1 <= self.episodes <= 10_000:
            raise ValueError(f"episodes must be in [1, 10000], not {self.episodes}")


def warm_up(
    profile: Profile, options: WarmingOptions, folder: Path, progress: Progress
) -> WarmStart:
    """Train a learner in simulation.

    Args:
        profile: of ``options.profile``.
        options: what to do.
        folder: for the learner's run.
        progress: is told how far it is.

    Raises:
        WarmingError: if the profile says too little, or nothing came of it.
    """
    ratio = drafter_share(profile)
    engine = _engine(profile)
    settings = replace(STEPPED, profile=options.profile, prices=options.prices, seed=options.seed)
    learner = Learner(settings, folder)
    try:
        members = [
            Member(
                simulated_info(profile.identity, ratio, f"simulated-{i}"),
                learner,
                analytic(1, engine.k_max, learner.prices, learner.times.coefficients, _EPSILON),
                options.seed + i,
            )
            for i in range(ENGINES)
        ]
        rng = np.random.default_rng(options.seed)
        for episode in range(options.episodes):
            progress(episode / options.episodes, f"traffic {episode + 1} of {options.episodes}")
            _episode(drawn_traffic(engine, rng), learner, members, rng)
        return _made(learner, profile, options)
    finally:
        learner.close()


def drafter_share(profile: Profile) -> float:
    """The drafter's parameters over the target's, by a profile.

    Raises:
        WarmingError: if it does not say so.
    """
    if profile.parameter_ratio is None:
        raise WarmingError(
            "the profile does not say how large the drafter is: it was made by an older flyball; "
            "`flyball profile` measures anew"
        )
    return profile.parameter_ratio


def _engine(profile: Profile) -> SimulatorSettings:
    """The profile's engine, with a KV cache that seldom fills up."""
    most = min(max(int(profile.batches[-1]), 1), _MOST)
    return simulated(
        profile,
        max_num_seqs=most,
        kv_blocks=max(most * _CONTEXT // 32, 512),
        max_model_len=_CONTEXT,
    )


def _episode(
    settings: SimulatorSettings,
    learner: Learner,
    members: Sequence[Member],
    rng: np.random.Generator,
) -> None:
    """Some engines under one traffic, each at a speed of its own."""
    simulator = Simulator(settings, len(members), int(rng.integers(2**31)))
    simulator.speed[:] = np.where(rng.random(len(members)) < 0.5, 1.0, rng.random(len(members)))
    raw = simulator.reset()
    for _ in range(_INTERVALS):
        actions = np.array([member.act(seen)[0] for member, seen in zip(members, raw, strict=True)])
        step = simulator.step(actions)
        for i, member in enumerate(members):
            member.learn(raw[i], int(actions[i]), step.outcomes[i])
            member.follow(step.observations[i])
            if member.full:
                member.hand_over()
        raw = step.observations
    for member in members:
        member.hand_over()
        member.cut()
    snapshot = learner.publish()
    if snapshot is not None:
        for member in members:
            member.runner = Runner(_exploring(snapshot))


def _exploring(snapshot: Snapshot) -> Snapshot:
    """One that now and then takes any depth."""
    return _renamed(snapshot, epsilon=_EPSILON)


def _renamed(snapshot: Snapshot, **changes: float) -> Snapshot:
    """The same, saying something else of itself."""
    meta = msgspec.structs.replace(snapshot.meta, **changes)
    return Snapshot(meta, snapshot.weights, snapshot.step_time, snapshot.grid, snapshot.seen)


def _made(learner: Learner, profile: Profile, options: WarmingOptions) -> WarmStart:
    if learner.model is None or learner.current() is None:
        said = learner.state.last_gate_reason or "nothing was measured"
        raise WarmingError(f"nothing was learned in simulation: {said}")
    candidate = candidate_of(learner, learner.model)
    origin = Origin(
        identity=profile.identity,
        measured=profile.at,
        coefficients=profile.vector.tolist(),
        prices=options.prices,
        parameter_ratio=drafter_share(profile),
        trust=learner.model.trust.factors.tolist(),
        transitions=learner.state.transitions,
        seed=options.seed,
    )
    return WarmStart(_renamed(candidate, number=1), origin)
