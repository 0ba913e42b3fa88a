"""From networks to a published snapshot: the candidate, the gate, and what is kept of a refusal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from ..policies.snapshot import Meta, Snapshot, SnapshotError
from ..policies.vector_dqn import VectorDQN
from .evaluate import Comparison, compare, logged
from .gate import examine, no_worse
from .offending import keep_batch

if TYPE_CHECKING:
    from .learner import Learner

log = logging.getLogger(__name__)

RECENT: Final = 2048
"""Decisions that a candidate is compared with the current snapshot on."""

_SEEN: Final = 256  # observations that a candidate's values are checked on


def promote(learner: Learner, model: VectorDQN) -> Snapshot | None:
    """A new snapshot, registered; None if the gate refuses it, which is counted and logged.

    After a refusal the networks are those that were good last.
    """
    try:
        candidate = candidate_of(learner, model)
        seen = model.replay_buffer.latest(_SEEN).observations
        reason = examine(candidate, seen) if len(seen) else None
        if reason is None:
            learner.comparison = comparison(learner, model, candidate)
            reason = examine(candidate, _NOTHING, (no_worse(learner.comparison),))
            if reason is None:
                learner.registry.add(candidate)
                model.keep()
                return candidate
        else:
            reason += _kept(learner, model)
    except SnapshotError as e:
        reason = str(e) + _kept(learner, model)
    except OSError as e:
        reason = str(e)
    learner.state.gate_refused += 1
    learner.state.last_gate_reason = reason
    log.warning("snapshot %d not promoted: %s", learner.registry.next_number, reason)
    model.restore()
    return None


def candidate_of(learner: Learner, model: VectorDQN) -> Snapshot:
    """What the networks are now, as a snapshot.

    Raises:
        SnapshotError: if it must not be used.
    """
    meta = Meta(
        number=learner.registry.next_number,
        k_max=model.k_max,
        prices=learner.prices,
        epsilon=0.0,
        budget=learner.budget,
        unit=1.0 if learner.reward.linear else model.base.scale,
        switch=learner.times.switch,
        gamma=learner.settings.gamma,
        linear=learner.reward.linear,
        reward=learner.reward.name,
        updates=model.updates,
        transitions=learner.state.transitions,
    )
    trust = model.trust.factors if learner.reward.linear else None
    times = learner.times
    return Snapshot(meta, model.exported(trust), times.coefficients, times.grid, times.seen)


def comparison(learner: Learner, model: VectorDQN, candidate: Snapshot) -> Comparison | None:
    """The candidate and the current snapshot on recent decisions; None where that cannot be."""
    current = learner.current()
    if current is None or current.meta.k_max != candidate.meta.k_max:
        return None
    rows = model.replay_buffer.latest(RECENT)
    data = logged(rows, learner.relabel.measured(rows), candidate.meta.linear, certain=True)
    if not len(data):
        return None
    try:
        return compare(candidate, current, data)
    except ValueError as e:
        log.info("no off-policy comparison: %s", e)
        return None


def look_at(learner: Learner, model: VectorDQN) -> None:
    """Keep and log the batch of a gradient step whose loss was not finite, if there was one."""
    offending, model.offending = model.offending, None
    if offending is not None:
        where = keep_batch(learner.run, offending, "loss", model.updates)
        log.warning(
            "loss not finite at update %d (%d skipped so far): back to the networks kept last%s",
            model.updates,
            model.skipped,
            where,
        )


def _kept(learner: Learner, model: VectorDQN) -> str:
    """Where the batch that made a bad candidate is kept, as the end of a sentence."""
    if model.batch is None:
        return ""
    return keep_batch(learner.run, model.batch, "candidate", model.updates)


_NOTHING = np.zeros((0, 0), np.float32)
