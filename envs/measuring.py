"""From a decision and its outcome to a reward and what a step tells about them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ..policies.prices import Prices
from ..policies.transition import Decision, Outcome, OutcomeBatch, outcome_row
from .reward_inputs import RewardInputs
from .rewards import Reward, evaluate


def measure(
    reward: Reward,
    decision: Decision,
    outcome: Outcome,
    *,
    off_seconds: float,
    prompt_seconds: float = 0.0,
    parameter_ratio: float,
    prices: Prices,
    speed: float,
) -> tuple[float, dict[str, Any]]:
    """The reward of one interval, and what was measured.

    Args:
        reward: of the environment.
        decision: what was in force.
        outcome: what came of it.
        off_seconds: what one of its steps would have taken without speculation.
        prompt_seconds: what prompts took of each of its steps.
        parameter_ratio: the drafter's parameters over the target's.
        prices: what things cost.
        speed: the knob, in [0, 1].

    Returns:
        The reward, and for the ``info``: ``speed``, ``latency`` and ``cost`` (off = 1.0),
        ``off_seconds``, ``outcome``, ``decision``.
    """
    outcomes = OutcomeBatch.from_rows(
        outcome_row(decision.applied, outcome)[None],
        np.array([off_seconds]),
        np.array([parameter_ratio]),
        np.array([prompt_seconds]),
    )
    inputs = RewardInputs.of(outcomes, prices, speed)
    info = {
        "speed": speed,
        "latency": float(inputs.latency[0]),
        "cost": float(inputs.cost[0]),
        "off_seconds": float(off_seconds),
        "outcome": {"depth": decision.applied, **msgspec.structs.asdict(outcome)},
        "decision": msgspec.structs.asdict(decision),
    }
    return float(evaluate(reward, inputs)[0]), info
