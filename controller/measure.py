"""What one transition was worth: both components and the reward, as environments are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..envs.reward_inputs import RewardInputs
from ..envs.rewards import evaluate
from ..inference.reports import EngineInfo
from ..policies.prices import Prices, price_list
from ..policies.transition import STATE_SECONDS, Transition

if TYPE_CHECKING:
    from .learner import Learner


def prices_for(learner: Learner, info: EngineInfo) -> Prices:
    """The price list in force for an engine's models."""
    return price_list(learner.settings.prices, info.parameter_ratio)


def measure(learner: Learner, info: EngineInfo, transition: Transition) -> dict[str, Any]:
    """A sound transition as the answer to a step; JSON-able but for bytes.

    Raises:
        RewardError: if the reward in force fails on it.
    """
    from .intake import outcome_rows, to_rows

    prices = prices_for(learner, info)
    outcomes = outcome_rows([transition])
    engine = learner.times.meet(info)
    rows = to_rows([transition], outcomes, engine, info.parameter_ratio)
    batch = learner.times.batch(rows)
    inputs = RewardInputs.of(batch, prices, transition.decision.speed)
    return {
        "engine": info.engine,
        "observation": transition.following,
        "transition": msgspec.to_builtins(transition, builtin_types=(bytes,)),
        "prices": msgspec.to_builtins(prices),
        **{name: float(getattr(batch, name)[0]) for name in STATE_SECONDS},
        "latency": _number(inputs.latency[0]),
        "cost": _number(inputs.cost[0]),
        "reward": _number(evaluate(learner.reward, inputs)[0]),
    }


def _number(value: float) -> float | None:
    """A number, or None where it is not known: an interval that emitted nothing."""
    return float(value) if np.isfinite(value) else None
