"""What a run logged, read back without disturbing it, and its snapshots evaluated on that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ..envs.rewards import load_reward
from ..policies.off_policy import BLOCKS, Estimate, Terms, ratio
from ..policies.prices import Prices
from ..policies.replay import Rows
from ..policies.snapshot import Snapshot, SnapshotError
from . import checkpoint as checkpoints
from .checkpoint import CheckpointError, Tensors
from .evaluate import Logged, evaluate, logged, valued
from .learner_state import LearnerState, unpack_rows, unpack_times
from .registry import SNAPSHOTS, Registry, RegistryError
from .relabel import Relabel
from .resume import CHECKPOINT
from .runs import RunError
from .settings import LearnerSettings
from .step_times import StepTimes


@dataclass(frozen=True)
class Evaluation:
    """What a policy would have been worth on what a run logged.

    Attributes:
        snapshot: its number, its file, or ``logged`` for what decided.
        ips: by inverse propensities; None for what decided, whose value was measured.
        snips: self-normalised; None as well.
        dr: doubly robust, or measured.
    """

    snapshot: str
    ips: Estimate | None
    snips: Estimate | None
    dr: Estimate


@dataclass(frozen=True)
class RunLog:
    """A run's decisions and snapshots.

    Attributes:
        run: the folder.
        state: of its learner, when its checkpoint was written.
        registry: its snapshots.
        rows: its replay buffer, in the order in which it came.
        times: its step-time models.
    """

    run: Path
    state: LearnerState
    registry: Registry[Snapshot]
    rows: Rows
    times: StepTimes

    @classmethod
    def read(cls, run: Path) -> RunLog:
        """From a run's folder, in which nothing is changed.

        Raises:
            RunError: if it holds no snapshots, no checkpoint, or no decisions.
            CheckpointError: if no checkpoint in it is sound.
        """
        folders = checkpoints.find(run / CHECKPOINT)
        if not (run / SNAPSHOTS).is_dir() or not folders:
            raise RunError(f"{run} holds no run with snapshots and a checkpoint")
        state, groups = _newest(folders)
        if "replay" not in groups:
            raise RunError(f"nothing was learned from in {run} yet")
        times = StepTimes(LearnerSettings().forgetting)
        unpack_times(state, groups, times)
        rows = unpack_rows(state, groups["replay"])
        return cls(run, state, Registry(run / SNAPSHOTS, load=Snapshot.load), rows, times)

    def snapshot(self, wanted: str) -> Snapshot:
        """A snapshot by its number in the registry, ``current``, or its file.

        Raises:
            SnapshotError: if there is none, or it is not for this run's depths.
        """
        if wanted == "current":
            if (found := self.registry.current) is None:
                raise SnapshotError(f"{self.run} has no snapshot yet")
        elif wanted.isdecimal():
            try:
                found = self.registry.get(int(wanted))
            except RegistryError as e:
                raise SnapshotError(str(e)) from None
        else:
            found = Snapshot.load(Path(wanted))
        if found.meta.k_max != self.state.k_max:
            raise SnapshotError(
                f"snapshot {wanted} is for depths up to {found.meta.k_max}, the run's go up to "
                f"{self.state.k_max}"
            )
        return found

    def decisions(self, prices: Prices, last: int | None = None) -> Logged:
        """The decisions that tell of other policies, judged by the reward of the run.

        Args:
            prices: of the snapshots, which say what the run's cost model is.
            last: newest rows to use; None for all.

        Raises:
            RewardError: if the run's reward cannot be loaded.
            RunError: if there are too few of them.
        """
        rows = self.rows if last is None else self.rows.take(np.arange(len(self.rows))[-last:])
        reward = load_reward(self.state.reward)
        relabel = Relabel(_cost_model(prices), reward, self.times)
        data = logged(rows, relabel.measured(rows), reward.linear)
        if len(data) < BLOCKS:
            raise RunError(
                f"{len(data)} of the {len(rows)} latest decisions in {self.run} tell of another "
                f"policy, at least {BLOCKS} must: decisions that were applied, and drawn by a "
                "policy that might have chosen otherwise"
            )
        return data


def assess(
    log: RunLog, wanted: Sequence[str], speed: float | None = None, last: int | None = None
) -> list[Evaluation]:
    """What decided, and some snapshots, on what a run logged.

    Args:
        log: the run's.
        wanted: snapshots, at least one, as ``RunLog.snapshot`` takes them.
        speed: judge all decisions at this speed; None for the one each was made under.
        last: newest rows to use; None for all.

    Raises:
        ValueError: of what cannot be used: a ``RunError``, ``SnapshotError``, ``RewardError``.
    """
    snapshots = [log.snapshot(name) for name in wanted]
    data = log.decisions(snapshots[0].meta.prices, last)
    rewards, tokens = valued(data, speed)
    nought = np.zeros(len(data))
    measured = ratio(Terms(rewards * tokens, nought), Terms(tokens, nought), float(len(data)))
    found = [Evaluation("logged", None, None, measured)]
    for name, snapshot in zip(wanted, snapshots, strict=True):
        try:
            found.append(Evaluation(name, **evaluate(snapshot, data, speed)))
        except ValueError as e:
            raise SnapshotError(f"snapshot {name} cannot be evaluated: {e}") from None
    return found


def as_json(log: RunLog, found: Sequence[Evaluation], speed: float | None) -> dict[str, object]:
    """Evaluations as a JSON object."""
    return {
        "run": str(log.run),
        "reward": log.state.reward,
        "speed": speed,
        "decisions": found[0].dr.n,
        "snapshots": [msgspec.to_builtins(evaluation) for evaluation in found],
    }


def _newest(folders: Sequence[Path]) -> tuple[LearnerState, dict[str, Tensors]]:
    """The newest sound checkpoint; a learner may be replacing the first of them right now."""
    for folder in folders:
        try:
            return checkpoints.read(folder, LearnerState)
        except CheckpointError as e:
            error = e
    raise error


def _cost_model(prices: Prices) -> str:
    """The name of the cost model that a price list is of."""
    return "compute" if prices.verified else "engine_time"
