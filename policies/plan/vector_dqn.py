"""Learns what our rule leaves out: vector-valued double Q-learning on transitions of plans.

Values are sums over what is left of a run, without discount, of seconds and dollars in units of a
step's without running ahead, less 1 for each step settled: sequential is 0 throughout. The network
gives what is to be added to what the rule foresees up to the end of the run ahead. Every transition
is drawn with a sampled speed, and is learned from twice:

* the choice that was made: target = spent + value of the next decision's best choice, chosen by the
  online network and told by the averaged one (van Hasselt et al. 2016, arXiv 1509.06461);
* every choice, that one included: once a run is complete, it is known which steps matched and what
  their calls took, and so what each choice would have come to by the first mismatch
  (``structure.hindsight``); what follows is the value of the first decision after it. How a choice
  would have gone on is fixed before, by what was known at the decision, so nothing of the future
  leaks into it.

Of Stable-Baselines3 are the algorithm's frame, the replay buffer's, the policy and its networks,
the optimiser's care, the logger, saving and loading. No environment is ever stepped.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.dqn import DQN
from torch.nn import functional

from ..relabelling import sample_speeds
from ..snapshot import HIDDEN
from ..spaces import Array
from ..transition import Floats
from .q_network import PlanQNetwork, PlanQPolicy, relative
from .replay import PlanReplay
from .rows import PlanRows, relative_spent
from .schedule import CHOICES
from .snapshot import PLAN_VALUES, PlanMeta, PlanSnapshot
from .space import PLAN_SPACE, PLAN_SPEED_INDEX
from .structure import foresee, hindsight, weighed

BOUND: Final = 20.0
"""Targets are winsorised to [-this, this], in steps' seconds and dollars: a call that a provider
held up must not count for more than the worst choice could."""


class Targets(NamedTuple):
    """What one batch is to be told.

    Attributes:
        own: of the choices made, shape (n, PLAN_VALUES); NaN where seconds are not known.
        every: of every choice, shape (n, CHOICES, PLAN_VALUES).
        base: what the rule foresees of every choice, of the same shape.
    """

    own: Array
    every: Array
    base: Array


class PlanDQN(DQN):
    """Learns from transitions that others made; never steps an environment.

    Args:
        hidden: units of each hidden layer.
        learning_rate: of AdamW.
        buffer_size: transitions kept.
        tau: share of the online network that is averaged in per gradient step; the averaged
            network gives the targets and the snapshots.
        revealed: weight of what a run revealed of all choices, by that of the choice made.
        anchor: transitions that the rule weighs as much as: corrections are drawn to nought,
            strongly while little was seen, ever less later.
        seed: of everything random.
    """

    policy: PlanQPolicy
    q_net: PlanQNetwork
    q_net_target: PlanQNetwork
    replay_buffer: PlanReplay

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] = HIDDEN,
        learning_rate: float = 3e-3,
        buffer_size: int = 20_000,
        tau: float = 0.05,
        revealed: float = 1.0,
        anchor: float = 100.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            PlanQPolicy,
            env=None,  # type: ignore[arg-type]
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            gamma=1.0,
            tau=tau,
            replay_buffer_class=PlanReplay,
            policy_kwargs={
                "net_arch": list(hidden),
                "optimizer_class": th.optim.AdamW,
                "optimizer_kwargs": {"weight_decay": 1e-4},
            },
            seed=seed,
            device="cpu",
            _init_setup_model=False,
        )
        self.observation_space = spaces.Box(-np.inf, np.inf, (PLAN_SPACE.size,), np.float32)
        self.action_space = spaces.Discrete(CHOICES)
        self.n_envs = 1
        self.revealed = revealed
        self.anchor = anchor
        self.rng = np.random.default_rng(seed)
        self.knob = 0.5
        self.skipped = 0
        self.last_loss: float | None = None
        self._setup_model()

    @property
    def updates(self) -> int:
        """Gradient steps taken."""
        return self._n_updates

    @updates.setter
    def updates(self, count: int) -> None:
        self._n_updates = count

    def add(self, rows: PlanRows) -> None:
        """Take the transitions of a run.

        Raises:
            ValueError: naming the column that does not fit.
        """
        rows.check()
        self.replay_buffer.append(rows)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Take gradient steps; one whose loss is not finite is skipped and counted."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        for _ in range(gradient_steps):
            rows = self.replay_buffer.draw(batch_size, self.rng)
            loss = self._loss(rows)
            self.policy.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = th.nn.utils.clip_grad_norm_(self.q_net.parameters(), self.max_grad_norm)
            if not (th.isfinite(loss) and th.isfinite(norm)):
                self.skipped += 1
                continue
            self.policy.optimizer.step()
            polyak_update(self.q_net.parameters(), self.q_net_target.parameters(), self.tau)
            self.last_loss = loss.item()
            self.logger.record_mean("train/loss", self.last_loss)
        self._n_updates += gradient_steps

    def snapshot(self, number: int, budget: float = 0.02) -> PlanSnapshot:
        """The averaged network as a snapshot.

        Raises:
            SnapshotError: if it is not finite.
        """
        seen = self.replay_buffer.size()
        meta = PlanMeta(number, budget, self._n_updates, seen)
        return PlanSnapshot(meta, self.q_net_target.exported())

    def targets(self, rows: PlanRows) -> Targets:
        """What rows are to be told, at the speeds of their observations."""
        foreseen = foresee(rows.observations)
        revealed = hindsight(rows.observations, foreseen.schedules, rows.matched, rows.seconds)
        landed = self._value(rows.landing, rows.landed)
        own = relative_spent(rows) + self._value(rows.following, rows.ended)
        every = revealed.astype(np.float32) + landed[:, None]
        return Targets(
            np.clip(own, -BOUND, BOUND),
            np.clip(every, -BOUND, BOUND),
            relative(rows.observations, foreseen),
        )

    def _loss(self, drawn: PlanRows) -> th.Tensor:
        rows = at_speeds(drawn, sample_speeds(len(drawn), self.knob, self.rng))
        told = self.targets(rows)
        correction = self.q_net.correction(rows.observations)
        values = correction + th.from_numpy(told.base)
        own = values[np.arange(len(rows)), rows.actions]
        known = th.from_numpy(np.isfinite(told.own))
        missed = functional.smooth_l1_loss(
            own, th.from_numpy(np.nan_to_num(told.own)), reduction="none"
        )
        every = functional.smooth_l1_loss(values, th.from_numpy(told.every))
        pull = self.anchor / max(self.replay_buffer.size(), 1) * correction.square().mean()
        return (missed * known).mean() + self.revealed * every + pull

    def _value(self, raw: Array, over: Any) -> Array:
        """Averaged values of the best choices, nought where a run is over: (n, PLAN_VALUES)."""
        value = np.zeros((len(raw), PLAN_VALUES), np.float32)
        ahead = np.flatnonzero(~np.asarray(over))
        raw = raw[ahead]
        base = relative(raw, foresee(raw))
        with th.no_grad():
            online = self.q_net.correction(raw).numpy() + base
            averaged = self.q_net_target.correction(raw).numpy() + base
        best = weighed(online.astype(np.float64), raw[:, PLAN_SPEED_INDEX]).argmin(-1)
        value[ahead] = averaged[np.arange(len(raw)), best]
        return value


def at_speeds(rows: PlanRows, speeds: Floats) -> PlanRows:
    """Rows as if they had been decided under other speeds; the rows given are changed."""
    for raw in (rows.observations, rows.following, rows.landing):
        raw[:, PLAN_SPEED_INDEX] = speeds
    return rows
