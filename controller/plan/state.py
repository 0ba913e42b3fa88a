"""What a plan's learner carries over a restart, and how it is laid out in a checkpoint."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import numpy as np

from ...policies.plan.rows import PlanRows
from ...policies.plan.vector_dqn import PlanDQN
from ..checkpoint import CheckpointError, Tensors

_MOST_OWED = 2000.0  # gradient steps


class PlanLearnerState(msgspec.Struct):
    """Counters of a learner.

    Attributes:
        transitions: learned from.
        frozen: shown, not learned from.
        updates: gradient steps.
        credit: gradient steps that transitions have paid for and that are still to be taken.
        gate_refused: snapshots that were not promoted.
        last_gate_reason: why the latest was not; "" if it was.
        next_number: number of the next snapshot.
    """

    transitions: int = 0
    frozen: int = 0
    updates: int = 0
    credit: float = 0.0
    gate_refused: int = 0
    last_gate_reason: str = ""
    next_number: int = 1

    def count(self, transitions: int, updates_each: float) -> None:
        """Count transitions that were stored."""
        self.transitions += transitions
        self.credit = min(self.credit + updates_each * transitions, _MOST_OWED)


def pack(model: PlanDQN) -> dict[str, Tensors]:
    """Tensors of a checkpoint, by file."""
    rows = model.replay_buffer.latest(model.replay_buffer.size())
    return {
        "networks": {
            f"{kind}/{name}": array
            for kind, network in (("online", model.q_net), ("averaged", model.q_net_target))
            for name, array in network.exported().items()
        },
        "replay": {f.name: getattr(rows, f.name) for f in fields(PlanRows)},
    }


def unpack(groups: dict[str, Tensors], model: PlanDQN) -> None:
    """Restore a learner's model.

    Raises:
        CheckpointError: something does not fit.
    """
    try:
        rows = PlanRows(**groups["replay"])
        rows.check()
        if len(rows):
            model.replay_buffer.append(rows)
        for kind, network in (("online", model.q_net), ("averaged", model.q_net_target)):
            prefix = f"{kind}/"
            network.adopt(
                {
                    name.removeprefix(prefix): np.asarray(array, np.float32)
                    for name, array in groups["networks"].items()
                    if name.startswith(prefix)
                }
            )
    except (KeyError, TypeError, ValueError) as e:
        raise CheckpointError(f"plan learner: {e}") from None
