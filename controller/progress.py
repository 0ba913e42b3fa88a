"""What a learner says of itself: a summary for status and metrics, and TensorBoard's points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .learner import Learner

# Rows that "recent" means.
_RECENT = 256


def summary(learner: Learner) -> dict[str, Any]:
    """Counters and figures: JSON types, None where there is nothing yet."""
    model, state, relabel = learner.model, learner.state, learner.relabel
    current = learner.current()
    latency, cost = _recent_components(learner)
    return {
        "transitions": state.transitions,
        "updates": learner.updates,
        "snapshot": current.meta.number if current else 0,
        "loss": model.last_loss if model else None,
        "explore_budget": learner.budget,
        "trust": _trust(learner),
        "replay_rows": model.replay_buffer.size() if model else 0,
        "replay_bytes": model.replay_buffer.nbytes if model else 0,
        "owed_updates": int(state.owed()),
        "relearning": learner.relearning,
        "dropped": learner.board.dropped,
        "invalid": state.invalid,
        "refused": state.refused,
        "empty": state.empty,
        "frozen": state.frozen,
        "skipped_updates": model.skipped if model else 0,
        "reward_faults": relabel.faults,
        "last_reward_fault": relabel.last_fault,
        "gate_refused": state.gate_refused,
        "last_gate_reason": state.last_gate_reason,
        "step_time_error": learner.times.error,
        "reward": learner.reward.name,
        "reward_spec": state.reward,
        "speed": state.speed,
        "k_max": state.k_max or None,
        "latency": latency,
        "cost": cost,
    }


def write_board(learner: Learner) -> None:
    """Write TensorBoard's next point."""
    state, board = learner.state, learner.board
    rows = board.take()
    if rows is not None:
        judged = learner.relabel.measured(rows)
        batch = learner.relabel.inputs(rows, np.zeros(len(rows))).outcomes
        board.rollout(batch, judged, learner.prices)
    current = learner.current()
    board.write(
        state.transitions,
        learner.updates,
        {
            **_gate(learner),
            "rollout/transitions": state.transitions,
            "rollout/explore_budget": learner.budget,
            "train/updates": learner.updates,
            "train/skipped": learner.model.skipped if learner.model else 0,
            "train/replay_rows": learner.model.replay_buffer.size() if learner.model else 0,
            "train/step_time_error": learner.times.error,
            "train/gate_refused": state.gate_refused,
            "train/trust": _trust(learner),
            "serve/speed": state.speed,
            "serve/version": current.meta.number if current else 0,
            "wire/invalid": state.invalid,
            "wire/unfit": state.refused,
        },
    )


def _gate(learner: Learner) -> dict[str, float]:
    """The latest off-policy comparison; nothing before the first."""
    compared = learner.comparison
    if compared is None:
        return {}
    return {
        "gate/dr_candidate": compared.candidate.value,
        "gate/dr_current": compared.current.value,
        "gate/dr_difference": compared.difference.value,
        "gate/ess": compared.difference.ess,
    }


def _trust(learner: Learner) -> float:
    """Mean factor on the learned correction, over depths."""
    model = learner.model
    return float(model.trust.factors[: model.k_max + 1].mean()) if model else 0.0


def _recent_components(learner: Learner) -> tuple[float | None, float | None]:
    """Mean latency and cost per token over recent transitions."""
    model = learner.model
    if model is None or not model.replay_buffer.size():
        return None, None
    rows = model.replay_buffer.latest(_RECENT)
    inputs = learner.relabel.inputs(rows, np.zeros(len(rows)))
    weights = inputs.outcomes.emitted
    means = [np.average(column, weights=weights) for column in (inputs.latency, inputs.cost)]
    latency, cost = (float(mean) if np.isfinite(mean) else None for mean in means)
    return latency, cost
