"""The border where transitions come in: what no engine could have measured is turned away."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from ..inference.reports import EngineInfo
from ..policies.replay import Rows
from ..policies.spaces import DEPTH_SPACE, MAX_DEPTH
from ..policies.transition import Floats, Transition, check_transition, outcome_row
from .learner_state import LearnerState
from .step_times import StepTimes

log = logging.getLogger(__name__)


class Intake:
    """Sifts what engines send, counts what is left out, and says why, once per engine."""

    def __init__(self, times: StepTimes) -> None:
        self._times = times
        self._said: set[tuple[str, str]] = set()

    def sift(
        self, info: EngineInfo, transitions: Sequence[Transition], state: LearnerState
    ) -> list[Transition]:
        """Transitions that can be learned from; the others are counted in the state."""
        reason = unfitness(info, state.k_max)
        if not reason:
            try:
                self._times.meet(info)
            except ValueError as e:
                reason = str(e)
        if reason:
            state.refused += len(transitions)
            self._say(info.engine, reason)
            return []
        sound = []
        for transition in transitions:
            try:
                check(transition, info.k_max)
            except (ValueError, TypeError) as e:
                state.invalid += 1
                self._say(info.engine, str(e))
            else:
                sound.append(transition)
        useful = [t for t in sound if t.outcome.emitted and t.outcome.request_steps]
        state.empty += len(sound) - len(useful)
        return useful

    def _say(self, engine: str, reason: str) -> None:
        if (engine, reason) not in self._said and len(self._said) < 256:
            self._said.add((engine, reason))
            log.error("engine %s: transitions refused: %s", engine, reason)


def unfitness(info: EngineInfo, k_max: int) -> str:
    """Why an engine's transitions are none for a run; "" if they are.

    Args:
        info: the engine.
        k_max: the run's greatest depth, or 0 before the first engine.
    """
    if not 1 <= info.k_max <= MAX_DEPTH:
        return f"k_max must be in [1, {MAX_DEPTH}], not {info.k_max}"
    if not 0 <= info.parameter_ratio < math.inf:
        return f"parameter_ratio must be finite and not negative, not {info.parameter_ratio}"
    if k_max and info.k_max != k_max:
        return f"its k_max is {info.k_max}, this run's {k_max}: start another run for it"
    return ""


def check(transition: Transition, k_max: int) -> None:
    """``check_transition``, and that the depth is one that the engine has.

    Raises:
        ValueError: saying what is wrong.
    """
    check_transition(transition)
    depth = max(transition.decision.action, transition.decision.applied)
    if depth > k_max:
        raise ValueError(f"depth {depth} of at most {k_max}")


def outcome_rows(transitions: Sequence[Transition]) -> Floats:
    """Their outcomes, shape (n, ROW_SIZE), float64."""
    return np.array([outcome_row(t.decision.applied, t.outcome) for t in transitions])


def to_rows(transitions: Sequence[Transition], outcomes: Floats, engine: int, ratio: float) -> Rows:
    """Sifted transitions of one engine, at least one, as columns."""
    count = len(transitions)
    decisions = [t.decision for t in transitions]
    seen = b"".join(t.decision.observation for t in transitions)
    following = b"".join(t.following for t in transitions)
    return Rows(
        observations=np.frombuffer(seen, "<f4").reshape(count, DEPTH_SPACE.size),
        following=np.frombuffer(following, "<f4").reshape(count, DEPTH_SPACE.size),
        actions=outcomes[:, 0].astype(np.int64),
        outcomes=outcomes.astype(np.float32),
        ratios=np.full(count, ratio, np.float32),
        engines=np.full(count, engine, np.int64),
        numbers=np.array([d.number for d in decisions], np.int64),
        chosen=np.array([d.action for d in decisions], np.int8),
        propensities=np.array([d.propensity for d in decisions], np.float32),
        reasons=np.array([d.reason for d in decisions], np.int8),
    )
